"""`python -m serving.server`: a stand-in for tensorflow_model_server, with its flags."""

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # or it logs every malformed connection

from celflow.errors import UserError, run
from celflow.quiet_tensorflow import import_tensorflow
from serving.config_protos import MonitoringConfig
from serving.limits import MAX_MESSAGE_BYTES
from serving.protos import config_pb2
from serving.server import flags as command_line
from serving.server import log_format, memory
from serving.server.api import grpc_api, rest_api, tls
from serving.server.api.grpc_api import GrpcServer
from serving.server.api.handlers import Handlers
from serving.server.api.rest_api import RestServer
from serving.server.byte_budget import ByteBudget
from serving.server.metrics import DEFAULT_PATH, Metrics
from serving.server.repository import model_config
from serving.server.repository.manager import Manager
from serving.server.request_log import RequestLogs
from serving.server.runtime import batching_options
from serving.server.runtime.batching import Batcher
from serving.server.runtime.batching_options import BatchingOptions
from serving.server.runtime.cpu_affinity import pinned_to_one_core
from serving.server.runtime.servable import PredictOptions
from serving.server.status import StatusError
from serving.server.text_proto import read_text_proto

log = logging.getLogger("serving.server")

GRACE_SECONDS = 15.0
MAX_BATCH_THREADS = 64  # each request that waits for a batch occupies a thread


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way; a second SIGINT exits now.

    Raises:
        UserError: a config file is broken or a port is taken.
    """
    flags = command_line.parse()
    log_format.start(flags.log_format)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("grpc").setLevel(logging.CRITICAL)  # a traceback for each broken message
    if flags.without_effect:
        log.info("Without effect here: --%s", ", --".join(flags.without_effect))
    source: model_config.ConfigFile | model_config.ModelsFolder | None = None
    look_again = 0.0  # seconds
    if flags.model_config_file:
        source = model_config.ConfigFile(Path(flags.model_config_file))
        look_again = flags.model_config_file_poll_wait_seconds
        config = source.read()
    elif flags.models_folder:
        source = model_config.ModelsFolder(Path(flags.models_folder))
        look_again = flags.file_system_poll_wait_seconds
        config = source.read()
    else:
        config = model_config.single_model(flags.model_name, command_line.base_path(flags))
    batching = (
        batching_options.read(flags.batching_parameters_file) if flags.enable_batching else None
    )
    session_config = None
    if flags.tensorflow_session_config_file:
        path = Path(flags.tensorflow_session_config_file)
        session_config = read_text_proto(path, config_pb2.ConfigProto(), "session config")
    credentials = tls.credentials(flags.ssl_config_file)
    metrics_path = _metrics_path(flags.monitoring_config_file)
    # TensorFlow takes seconds to import, so everything else that may fail comes first.
    if flags.port:
        _listen(flags, flags.port, "--port").close()
    rest_socket = None
    if flags.rest_api_port:
        rest_socket = _listen(flags, flags.rest_api_port, "--rest_api_port")
    signals = _signals()
    stop = threading.Event()

    # 2 shows TensorFlow's errors; the first of them would be that there is no driver of NVIDIA's.
    has_driver = find_library("cuda") is not None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_driver else "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster, also without AVX-512
    # Its own allocator never gives back what one large request needed.
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    import_tensorflow()
    from serving.server.runtime.loader import Loader
    from serving.server.runtime.saved_model import SavedModelOptions, prepare_devices

    prepare_devices(flags.intra_op_threads, flags.inter_op_threads)
    # TensorFlow's own objects stay for good. Without this, each garbage collection, such as the one
    # after an unload, would look through them and stop all requests for a third of a second.
    gc.collect()
    gc.freeze()
    metrics = Metrics()
    logs = RequestLogs(metrics)
    iterations = max(1, flags.num_request_iterations_for_warmup)
    manager = Manager(
        Loader(
            pinned_to_one_core(lambda: Batcher(batching, metrics)) if batching else None,
            iterations if flags.enable_model_warmup else 0,
            flags.prefer_tflite_model,
            SavedModelOptions(flags.saved_model_tags, session_config),
            PredictOptions(
                flags.enable_signature_method_name_check,
                flags.enable_serialization_as_tensor_content,
                metrics,
            ),
            flags.num_tflite_interpreters_per_pool,
            metrics,
            flags.enable_per_model_batching_parameters,
            flags.fast,
            flags.fast_examples,
        ),
        flags.allow_version_labels_for_unavailable_models,
        flags.max_num_load_retries,
        flags.load_retry_interval_micros / 1e6,
        logs.apply,
        flags.num_load_threads,
    )
    memory.start()
    budget = ByteBudget(_largest_message(flags))
    grpc_server = GrpcServer(
        Handlers(manager, metrics, "GRPC", budget, logs),
        grpc_api.Options(
            flags.address(flags.port) if flags.port else "",
            flags.grpc_max_threads or _grpc_threads(batching),
            flags.grpc_socket_path,
            credentials,
            flags.grpc_channel_arguments,
            flags.enable_grpc_healthcheck_service,
        ),
        budget,
    )
    pinned_to_one_core(grpc_server.start)
    rest_server = None
    if rest_socket:
        timeout = flags.rest_api_timeout_in_ms / 1000
        options = rest_api.Options(
            flags.rest_api_num_threads, timeout, metrics_path, flags.rest_api_enable_cors_support
        )
        handlers = Handlers(manager, metrics, "REST", budget, logs)
        rest_server = RestServer(handlers, rest_socket, options, budget)
        pinned_to_one_core(rest_server.start)

    def load_and_watch() -> None:
        _log_errors(lambda: manager.apply(config))
        grpc_server.ready()
        where = [f"gRPC on {flags.address(flags.port)}"] if flags.port else []
        where += [f"REST on {flags.address(flags.rest_api_port)}"] if rest_server else []
        models = ", ".join(f"{name} {version}" for name, version in manager.available())
        print(f"{', '.join(where)}; models: {models or 'none'}", flush=True)
        _every(flags.file_system_poll_wait_seconds, manager.poll, stop)
        if source:

            def reload() -> None:
                new = source.changed()
                if new is not None:
                    log.info("The models in %s have changed", source.path)
                    manager.apply(new)

            _every(look_again, reload, stop)

    threading.Thread(target=load_and_watch, name="loader", daemon=True).start()
    os.read(signals, 1)
    stop.set()
    log.info("Stopping: at most %.0f s for the requests under way", GRACE_SECONDS)
    finished = [grpc_server.stop(GRACE_SECONDS)]
    if rest_server:
        finished.append(rest_server.stop(GRACE_SECONDS))
    while not all(event.is_set() for event in finished):
        time.sleep(0.05)  # short, so that a second Ctrl-C is seen
    logs.flush(GRACE_SECONDS)
    manager.close()


def _grpc_threads(batching: BatchingOptions | None) -> int:
    """Four a core; with batching, enough for the requests of two batches to wait in."""
    threads = 4 * (os.cpu_count() or 1)
    if batching:
        threads = max(threads, 2 * min(batching.max_execution_batch_size, MAX_BATCH_THREADS))
    return threads


def _largest_message(flags: command_line.Flags) -> int:
    arguments = dict(flags.grpc_channel_arguments)
    return int(arguments.get("grpc.max_receive_message_length", MAX_MESSAGE_BYTES))


def _metrics_path(file: str) -> str | None:
    config = MonitoringConfig()
    if file:
        read_text_proto(Path(file), config, "monitoring config")
    prometheus = config.prometheus_config
    return (prometheus.path or DEFAULT_PATH) if prometheus.enable else None


def _listen(flags: command_line.Flags, port: int, flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in flags.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it, the end of an answer
    # waits some 40 ms for the client to acknowledge the start.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((flags.host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        where = flags.address(port)
        raise UserError(f"cannot listen on {where}: {reason}; choose another {flag}") from None
    return listener


def _signals() -> int:
    """A file descriptor to read a byte from for each SIGTERM or SIGINT.

    A SIGINT after any of them ends the process at once.
    """
    # The system may deliver the signal to a thread of TensorFlow's or gRPC's; that would not wake a
    # main thread that waits for a lock, but the byte in the pipe does.
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    seen = False

    def handle(number: int, frame: object) -> None:
        nonlocal seen
        # Ctrl-C in a terminal reaches this process and its parent, whose SIGTERM then follows: a
        # second signal ends the process only if it is a SIGINT.
        if seen and number == signal.SIGINT:
            os._exit(128 + number)
        seen = True

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return read_end


def _every(seconds: float, action: Callable[[], None], stop: threading.Event) -> None:
    """Do `action` every `seconds` on a thread of its own; never where `seconds` is not positive."""

    def repeat() -> None:
        while not stop.wait(seconds):
            _log_errors(action)

    if seconds > 0:
        threading.Thread(target=repeat, daemon=True).start()


def _log_errors(action: Callable[[], None]) -> None:
    """Do `action`; log its errors, because the models that are loaded go on answering."""
    try:
        action()
    except StatusError as error:
        log.error("%s", error.message)
    except Exception:
        log.exception("The models could not be brought up to date")


if __name__ == "__main__":
    run(main)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)  # a load that is under way would keep TensorFlow from shutting down in order
