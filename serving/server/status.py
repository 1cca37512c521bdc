"""Errors of requests: a status code and one line."""

import re

import grpc

CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
"""gRPC's codes by number; TensorFlow's error codes are the same numbers."""

_LONGEST = 1000  # characters; gRPC puts the message in a header of at most 8 KB


class StatusError(Exception):
    """An error that is sent to the client; never a bug of the server.

    Attributes:
        code: a `grpc.StatusCode`.
        message: one line.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        self.message = one_line(message)
        super().__init__(self.message)


def invalid(message: str) -> StatusError:
    """An INVALID_ARGUMENT, the commonest error."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def one_line(text: str) -> str:
    """`text` on one line of at most 1000 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


_NOISE = re.compile(
    r"^\s*(Graph execution error:|Detected at node .*|<stack traces unavailable>|File \".*|"
    r"\(\d+\) \w+:?|\d+ root error\(s\) found\.|\d+ successful operations\.|"
    r"\d+ derived errors ignored\.)\s*$"
)


def graph_error(text: str) -> str:
    """The sentence in an error of TensorFlow's: without stack traces and names of nodes."""
    text = text.partition("\nTraceback (most recent call last)")[0]  # of Python in a graph
    nodes = r"\[\[\{\{.*?\}\}.*?\]\]|\[Op:.*?\]|\{\{function_node .*?\}\} ?"
    text = re.sub(nodes, "", text, flags=re.DOTALL)
    lines = [line for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    # An assertion's first part is the sentence that its author wrote.
    line = re.sub(r"^assertion failed: \[([^\]]*)\]", r"\1", one_line(" ".join(lines)))
    return line or "the graph failed without a message"
