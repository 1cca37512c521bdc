"""What can go wrong in a call of a model server."""

import grpc

from celflow.errors import Unavailable, UserError

# How gRPC's messages begin where no server answers; any other message is a server's.
_NO_SERVER = ("connections to all backends failing", "failed to connect", "errors resolving")
_LOADING = "still loading"  # in what ours says meanwhile


class ServerError(UserError):
    """A call of a model server failed; the message is one line for the user.

    Attributes:
        code: the name of gRPC's status code, such as "UNAVAILABLE".
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ServerDown(ServerError, Unavailable):
    """No server answers at the address, or it is too busy."""


class Loading(ServerDown):
    """A server answers, and is still loading its models."""


class BadInput(ServerError):
    """The model refuses its input: not an image, an unknown signature, a wrong shape."""


class ModelNotFound(ServerError):
    """The server has no such model, version or label.

    model: its name; a request for a face's name asks two, and either may be missing.
    """

    model = ""


class LoadFailed(ServerError):
    """The server could not load a version that was waited for; the message has its reason."""


def from_rpc_error(error: grpc.RpcError, address: str, subject: str) -> ServerError:
    """gRPC's error as one of the above.

    Args:
        error: of a call.
        address: of the server, for the message.
        subject: what the call was about, such as "xception version 3".
    """
    code = error.code().name
    details = " ".join((error.details() or "").split())
    if code == "UNAVAILABLE" and _LOADING in details:
        return Loading(f"the model server at {address} is still loading its models", code)
    if code == "UNAVAILABLE" and not details.startswith(_NO_SERVER):
        return ServerDown(f"the model server at {address} is unavailable: {details}", code)
    if code == "UNAVAILABLE":
        return ServerDown(
            f"no model server answers at {address}: start one with `celflow up` or "
            "`celflow serve`, or name another with --server",
            code,
        )
    if code == "NOT_FOUND" or details.startswith("Unrecognized servable version label"):
        missing = ModelNotFound(
            f"the model server at {address} does not serve {subject} ({details})", code
        )
        missing.model = subject.split()[0]
        return missing
    if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"):
        return BadInput(f"the model server refuses {subject}: {details}", code)
    if code == "DEADLINE_EXCEEDED":
        return ServerError(f"the model server at {address} took too long over {subject}", code)
    return ServerError(f"the model server at {address} failed: {details or code}", code)
