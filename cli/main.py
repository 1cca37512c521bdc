"""The `celflow` command. Commands import what they need when they run, so that help is quick."""

from typing import Annotated

import typer

from celflow import errors
from cli import (
    character_commands,
    draw_command,
    import_command,
    output,
    predict_command,
    project,
    registry_commands,
    serve_command,
    sort_command,
    up_command,
)

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


app.command()(up_command.up)
app.command()(serve_command.serve)
app.command()(predict_command.predict)
app.command()(draw_command.draw)
app.command()(sort_command.sort)
app.command()(sort_command.watch)
app.command()(character_commands.enroll)
app.command()(character_commands.forget)
app.command("import")(import_command.import_model)
app.command("models")(registry_commands.list_models)
app.command()(registry_commands.promote)
app.command()(registry_commands.rollback)
app.command()(registry_commands.deploy)


def main() -> None:
    """Run the command line; an error that the user can put right is one line and exit code 1."""
    output.never_fail_to_print()
    project.enter()
    errors.run(lambda: app())
