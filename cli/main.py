"""The `celflow` command. Commands import what they need when they run, so that help is quick."""

import typer

from celflow import errors
from cli import (
    character_commands,
    draw_command,
    import_command,
    predict_command,
    registry_commands,
    serve_command,
    sort_command,
    traffic_commands,
    up_command,
)

app = typer.Typer(
    name="celflow",
    help="Serve, try and promote models for drawn pictures. To train them, run `dvc repro`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up_command.up)
app.command()(serve_command.serve)
app.command()(predict_command.predict)
app.command()(draw_command.draw)
app.command()(sort_command.sort)
app.command()(character_commands.enroll)
app.command()(character_commands.forget)
app.command("import")(import_command.import_model)
app.command("models")(registry_commands.list_models)
app.command()(registry_commands.promote)
app.command()(registry_commands.rollback)
app.command()(registry_commands.deploy)
app.command()(traffic_commands.replay)
app.command()(traffic_commands.shadow)
app.command()(traffic_commands.guard)


def main() -> None:
    """Run the command line; an error that the user can put right is one line and exit code 1."""
    errors.run(lambda: app())
