"""The command line: TensorFlow Serving's names and meanings, so that either can be started."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Flags:
    """What the command line says; the attributes are the flags' names."""

    host: str
    port: int
    rest_api_port: int
    model_name: str
    model_base_path: str
    model_config_file: str
    model_config_file_poll_wait_seconds: float
    file_system_poll_wait_seconds: float
    grpc_max_threads: int
    rest_api_num_threads: int
    allow_version_labels_for_unavailable_models: bool

    def address(self, port: int) -> str:
        """`host:port`, as gRPC and people write it."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def parse(arguments: Sequence[str] | None = None) -> Flags:
    """Read `--flag=value` or `--flag value`; a bad flag ends the process with exit code 2.

    Args:
        arguments: the words after the program's name; None takes `sys.argv`.
    """
    parser = argparse.ArgumentParser(
        prog="python -m serving.server",
        description="Serve SavedModels as tensorflow_model_server does.",
        allow_abbrev=False,
    )
    threads = 4 * (os.cpu_count() or 1)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=_port, default=8500, help="gRPC port, 0 picks one (default %(default)s)")
    add(
        "--rest_api_port", type=_port, default=8501, help="REST port, 0 = off (default %(default)s)"
    )
    add("--model_name", default="default", help="name of the model at --model_base_path")
    add("--model_base_path", default="", help="folder with a numbered folder a version")
    add("--model_config_file", default="", help="several models: a text protobuf ModelServerConfig")
    add(
        "--model_config_file_poll_wait_seconds",
        type=_seconds,
        default=0.0,
        help="how often to look for a changed config file; 0 = never (default)",
    )
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        help="how often to look for new versions; 0 = once, at the start (default %(default)s)",
    )
    add("--grpc_max_threads", type=_count, default=threads, help="requests at a time, gRPC")
    add("--rest_api_num_threads", type=_count, default=threads, help="requests at a time, REST")
    add(
        "--allow_version_labels_for_unavailable_models",
        type=_boolean,
        nargs="?",
        const=True,
        default=False,
        help="let a new label name a version that is not available yet",
    )
    flags = Flags(**vars(parser.parse_args(arguments)))
    if not flags.model_config_file and not flags.model_base_path:
        parser.error("name what to serve: --model_base_path or --model_config_file")
    if flags.model_base_path and not flags.model_name:
        parser.error("--model_name must not be empty")
    if flags.port and flags.port == flags.rest_api_port:
        parser.error(f"--port and --rest_api_port are both {flags.port}: choose two ports")
    return flags


def base_path(flags: Flags) -> str:
    """--model_base_path as an absolute path, which a config asks for."""
    return str(Path(flags.model_base_path).absolute())


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port (0 to 65535)")
    return port


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is not at least 1")
    return count


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return seconds


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
