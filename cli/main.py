"""The `celflow` command. Commands import what they need when they run, so that help is quick."""

from collections.abc import Callable
from typing import Annotated

import typer

from celflow import errors
from cli import (
    character_commands,
    draw_command,
    gate_command,
    import_command,
    listen_command,
    output,
    predict_command,
    registry_commands,
    serve_command,
    sort_command,
    status_command,
    traffic_commands,
    up_command,
    version_commands,
)
from cli.project import in_project

app = typer.Typer(
    name="celflow",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"celflow {version('celflow')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print it and stop.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Serve, try and promote models for drawn pictures. To train them, run `dvc repro`."""


COMMANDS: dict[str, Callable[..., None]] = {
    "up": up_command.up,
    "serve": serve_command.serve,
    "predict": predict_command.predict,
    "draw": draw_command.draw,
    "sort": sort_command.sort,
    "watch": sort_command.watch,
    "enroll": character_commands.enroll,
    "forget": character_commands.forget,
    "import": import_command.import_model,
    "models": registry_commands.models,
    "show": version_commands.show,
    "diff": version_commands.diff,
    "gate": gate_command.gate,
    "promote": registry_commands.promote,
    "rollback": registry_commands.rollback,
    "history": version_commands.history,
    "sign": version_commands.sign,
    "verify": version_commands.verify,
    "status": status_command.status,
    "register": status_command.register,
    "deploy": registry_commands.deploy,
    "replay": traffic_commands.replay,
    "shadow": traffic_commands.shadow,
    "guard": traffic_commands.guard,
    "listen": listen_command.listen,
}
for name, command in COMMANDS.items():
    app.command(name)(in_project(command))


def main() -> None:
    """Run the command line; an error that the user can put right is one line and exit code 1."""
    output.never_fail_to_print()
    errors.run(lambda: app())
