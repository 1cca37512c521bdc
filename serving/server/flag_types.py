"""What the values of flags may be; argparse calls these, and says what they raise."""

import argparse


def log_format(text: str) -> str:
    """`text` or `json`."""
    if text not in ("text", "json"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither text nor json")
    return text


def port(text: str) -> int:
    """A port, 0 to 65535."""
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port (0 to 65535)")
    return port


def count(text: str) -> int:
    """A whole number of at least 1."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is not at least 1")
    return count


def whole(text: str) -> int:
    """A whole number of at least 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


def tags(text: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(text.split(","))


def seconds(text: str) -> float:
    """A number of seconds."""
    seconds = float(text)
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return seconds


def boolean(text: str) -> bool:
    """true or false, as the real server takes them."""
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """`name=value,name=value`; a value that is a whole number is passed as one."""
    arguments: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise argparse.ArgumentTypeError(f"{part!r} is not name=value")
        try:
            arguments.append((name, int(value)))
        except ValueError:
            arguments.append((name, value))
    return tuple(arguments)
