"""The `celflow` command. Commands import what they need when they run, so that help is quick."""

import typer

from celflow import errors
from cli import (
    character_commands,
    draw_command,
    predict_command,
    registry_commands,
    serve_command,
    sort_command,
    status_command,
    up_command,
    version_commands,
)
from cli.project import in_project

app = typer.Typer(
    name="celflow",
    help="Serve, try and promote models for drawn pictures. To train them, run `dvc repro`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    up_command.up,
    serve_command.serve,
    predict_command.predict,
    draw_command.draw,
    sort_command.sort,
    character_commands.enroll,
    character_commands.forget,
    registry_commands.models,
    version_commands.show,
    version_commands.diff,
    registry_commands.promote,
    registry_commands.rollback,
    version_commands.history,
    version_commands.verify,
    status_command.status,
    status_command.register,
    registry_commands.deploy,
):
    app.command()(in_project(command))


def main() -> None:
    """Run the command line; an error that the user can put right is one line and exit code 1."""
    errors.run(lambda: app())
