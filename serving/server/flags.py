"""The command line: TensorFlow Serving's names and meanings, so that either can be started."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from serving.server import flag_types
from serving.server.repository.base_paths import is_absolute

UNSUPPORTED = [
    "mixed_precision",
    "platform_config_file",
    "use_alts_credentials",
    "use_tflite_model",
]
"""Flags of tensorflow_model_server that would change answers, or who may ask; and are not here."""

WITHOUT_EFFECT = [
    "enable_profiler",
    "flush_filesystem_caches",
    "num_tflite_pools",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "remove_unused_fields_from_bundle_metagraph",
    "skip_initialize_tpu",
    "thread_pool_factory_config_file",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
]
"""Flags of tensorflow_model_server that are accepted: they only say how it works inside."""


@dataclass(frozen=True)
class Flags:
    """The command line; the attributes are the names of the flags."""

    host: str
    port: int
    grpc_socket_path: str
    rest_api_port: int
    rest_api_num_threads: int
    rest_api_timeout_in_ms: int
    model_name: str
    model_base_path: str
    model_config_file: str
    models_folder: str
    model_config_file_poll_wait_seconds: float
    file_system_poll_wait_seconds: float
    num_load_threads: int
    enable_batching: bool
    enable_per_model_batching_parameters: bool
    batching_parameters_file: str
    monitoring_config_file: str
    ssl_config_file: str
    grpc_channel_arguments: tuple[tuple[str, int | str], ...]
    grpc_max_threads: int | None
    max_num_load_retries: int
    load_retry_interval_micros: int
    enable_model_warmup: bool
    num_request_iterations_for_warmup: int
    allow_version_labels_for_unavailable_models: bool
    enable_grpc_healthcheck_service: bool
    prefer_tflite_model: bool
    num_tflite_interpreters_per_pool: int
    rest_api_enable_cors_support: bool
    saved_model_tags: tuple[str, ...]
    enable_signature_method_name_check: bool
    enable_serialization_as_tensor_content: bool
    tensorflow_session_config_file: str
    tensorflow_session_parallelism: int
    tensorflow_intra_op_parallelism: int
    tensorflow_inter_op_parallelism: int
    log_format: str
    fast: bool
    fast_examples: str
    without_effect: tuple[str, ...]

    @property
    def intra_op_threads(self) -> int:
        """Threads that work on one operation; 0 is TensorFlow's choice."""
        return self.tensorflow_intra_op_parallelism or self.tensorflow_session_parallelism

    @property
    def inter_op_threads(self) -> int:
        """Operations that run at a time; 0 is TensorFlow's choice."""
        return self.tensorflow_inter_op_parallelism or self.tensorflow_session_parallelism

    def address(self, port: int) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def parse(arguments: Sequence[str] | None = None) -> Flags:
    """Read `--flag=value` or `--flag value`; a bad flag ends the process with exit code 2.

    Args:
        arguments: the words after the program's name; None takes `sys.argv`.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    for word in words:
        name = word.removeprefix("--").split("=")[0]
        if word.startswith("--") and name in UNSUPPORTED:
            parser.error(f"--{name} is not supported here: leave it out, or start TensorFlow's own")
    given = vars(parser.parse_args(words))
    given["without_effect"] = tuple(name for name in WITHOUT_EFFECT if given.pop(name) is not None)
    if given.pop("version"):
        print(
            f"TensorFlow ModelServer: {metadata.version('tensorflow-serving-api')} (embedded)\n"
            f"TensorFlow Library: {metadata.version('tensorflow')}"
        )
        sys.exit(0)
    flags = Flags(**given)
    if not (flags.model_config_file or flags.model_base_path or flags.models_folder):
        parser.error(
            "name what to serve: --model_base_path, --model_config_file or --models_folder"
        )
    if flags.models_folder and (flags.model_config_file or flags.model_base_path):
        parser.error("--models_folder goes without --model_config_file and --model_base_path")
    if not (flags.port or flags.rest_api_port or flags.grpc_socket_path):
        parser.error("nobody could ask: --port, --rest_api_port and --grpc_socket_path are all off")
    if flags.model_base_path and not flags.model_name:
        parser.error("--model_name must not be empty")
    if flags.port and flags.port == flags.rest_api_port:
        parser.error(f"--port and --rest_api_port are both {flags.port}: choose two ports")
    if flags.enable_per_model_batching_parameters and not flags.enable_batching:
        parser.error("--enable_per_model_batching_parameters is set without --enable_batching")
    if flags.batching_parameters_file and not flags.enable_batching:
        parser.error("--batching_parameters_file is set without --enable_batching")
    return flags


def base_path(flags: Flags) -> str:
    """--model_base_path as an absolute path, which a config asks for."""
    return (
        flags.model_base_path
        if is_absolute(flags.model_base_path)
        else str(Path(flags.model_base_path).absolute())
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m serving.server",
        description="Serve SavedModels and TensorFlow Lite models as tensorflow_model_server does.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    threads = 4 * (os.cpu_count() or 1)

    def add(name: str, kind: object, default: object, text: str) -> None:
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)  # type: ignore[arg-type]

    def switch(name: str, default: bool, text: str) -> None:
        parser.add_argument(
            f"--{name}", type=flag_types.boolean, nargs="?", const=True, default=default, help=text
        )

    add("host", str, "127.0.0.1", "address to listen on (this server's own flag)")
    add("port", flag_types.port, 8500, "gRPC port; 0 = no gRPC")
    add("grpc_socket_path", str, "", "also listen for gRPC on this Unix socket")
    add("rest_api_port", flag_types.port, 0, "REST port; 0 = no REST")
    add("rest_api_num_threads", flag_types.count, threads, "REST requests that run at a time")
    add("rest_api_timeout_in_ms", flag_types.count, 30_000, "time that a REST request may take")
    add("model_name", str, "default", "name of the model at --model_base_path")
    add("model_base_path", str, "", "folder with a numbered folder a version")
    add("model_config_file", str, "", "several models: a text protobuf ModelServerConfig")
    add(
        "models_folder",
        str,
        "",
        "a folder with a folder a model, which may come and go (this server's own flag)",
    )
    add(
        "model_config_file_poll_wait_seconds",
        flag_types.seconds,
        0.0,
        "how often to look for a changed config file; 0 = once, at the start",
    )
    add(
        "file_system_poll_wait_seconds",
        float,
        1.0,
        "how often to look for new versions; 0 = once, at the start",
    )
    add(
        "num_load_threads",
        flag_types.whole,
        0,
        "models that load side by side; 0 = one after the other",
    )
    switch("enable_batching", False, "run requests of one model together")
    switch(
        "enable_per_model_batching_parameters",
        False,
        "sizes and time-outs from batching_params.pbtxt in a version's folder; no batching without",
    )
    add("batching_parameters_file", str, "", "a text protobuf BatchingParameters")
    add("monitoring_config_file", str, "", "a text protobuf MonitoringConfig")
    add("ssl_config_file", str, "", "TLS for gRPC: a text protobuf SSLConfig")
    add(
        "grpc_channel_arguments",
        flag_types.channel_arguments,
        (),
        "name=value,... of the gRPC server",
    )
    add(
        "grpc_max_threads",
        flag_types.count,
        None,
        "gRPC requests that run at a time; unset: 4 for a core, more where batches want more",
    )
    add("max_num_load_retries", int, 5, "how often to try a version again that failed to load")
    add("load_retry_interval_micros", int, 60_000_000, "time between two such tries")
    switch("enable_model_warmup", True, "replay a version's own warm-up requests before it answers")
    add("num_request_iterations_for_warmup", int, 0, "how often, where more than 0")
    switch(
        "allow_version_labels_for_unavailable_models",
        False,
        "let a new label name a version that is not available yet",
    )
    switch("enable_grpc_healthcheck_service", False, "offer gRPC's health service")
    switch("prefer_tflite_model", False, "load model.tflite where a version has one")
    add(
        "num_tflite_interpreters_per_pool",
        flag_types.count,
        1,
        "requests of a TensorFlow Lite model that run at a time",
    )
    add(
        "tensorflow_session_parallelism",
        flag_types.whole,
        0,
        "both of the next two; 0 = a thread a core",
    )
    add(
        "tensorflow_intra_op_parallelism",
        flag_types.whole,
        0,
        "threads for one operation of a model",
    )
    add(
        "tensorflow_inter_op_parallelism",
        flag_types.whole,
        0,
        "operations of a model that run at a time",
    )
    switch("rest_api_enable_cors_support", False, "let web pages of any origin ask by REST")
    add(
        "saved_model_tags",
        flag_types.tags,
        ("serve",),
        "tags of the meta graph to load, with commas",
    )
    switch(
        "enable_signature_method_name_check",
        False,
        "refuse a signature whose method name does not fit the request",
    )
    switch(
        "enable_serialization_as_tensor_content",
        False,
        "answer numbers as raw bytes, tensor_content, instead of in float_val and its like",
    )
    add("tensorflow_session_config_file", str, "", "a text protobuf ConfigProto of sessions")
    add(
        "log_format",
        flag_types.log_format,
        "text",
        "text or json, a line an event (this server's own flag)",
    )
    switch(
        "fast",
        False,
        "bfloat16, and OpenVINO where it is installed, where a version answers alike and faster "
        "(this server's own flag)",
    )
    add(
        "fast_examples",
        str,
        "",
        "examples that decide: a folder of pictures, a TFRecord file or a request log's prefix, "
        "with {model} and {version}; else the version's warm-up requests (this server's own flag)",
    )
    for name in WITHOUT_EFFECT:
        parser.add_argument(f"--{name}", nargs="?", const="", help="accepted, without effect")
    switch("version", False, "print the version and exit")
    return parser
