"""The `celflow` command. Commands import what they need when they run, so that help is quick."""

import sys

import typer

from celflow.errors import UserError
from cli import draw, enroll, models, predict, serve, sort, up

app = typer.Typer(
    name="celflow",
    help="Models for drawn pictures: serve, try, sort, promote. To train, `dvc repro`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(serve.serve)
app.command()(predict.predict)
app.command()(draw.draw)
app.command()(sort.sort)
app.command()(enroll.enroll)
app.command()(enroll.forget)
app.command("models")(models.list_models)
app.command()(models.promote)
app.command()(models.rollback)
app.command()(models.deploy)


def main() -> None:
    """Run the command line; what a user can put right ends in one line and exit code 1."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
