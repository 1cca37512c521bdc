"""The `celflow` command."""

from importlib import import_module

from celflow import rooms


def main() -> None:
    """Run the command line, wherever its room lies."""
    rooms.enter()
    import_module("cli.main").main()


if __name__ == "__main__":
    main()
