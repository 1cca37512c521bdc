"""Config files: text protobufs, as TensorFlow Serving reads them."""

from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from celflow.errors import UserError
from serving.server.status import one_line

AnyMessage = TypeVar("AnyMessage", bound=Message)


def read_text_proto(path: Path, message: AnyMessage, description: str) -> AnyMessage:
    """Read a text protobuf into `message`, and return it.

    Args:
        path: of the file.
        message: what the file's fields are merged into.
        description: what the file is, for error messages: "model config".

    Raises:
        UserError: `description`, the path and the reason on one line.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{description} {path} cannot be read: {reason.lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{description} {path} is not text") from None
    except text_format.ParseError as error:
        reason = f"Error parsing text-format {message.DESCRIPTOR.full_name}: {error}"
        raise UserError(f"{description} {path} cannot be read: {one_line(reason)}") from None
