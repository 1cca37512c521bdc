"""TLS and mutual TLS for gRPC: --ssl_config_file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from celflow.errors import UserError
from serving.config_protos import SSLConfig
from serving.server.text_proto import read_text_proto


def credentials(path: str) -> grpc.ServerCredentials | None:
    """gRPC's server credentials of a text protobuf `SSLConfig`; None where `path` is empty.

    Raises:
        UserError: the file cannot be read, or lacks a key; one line with the path.
    """
    if not path:
        return None
    config = read_text_proto(Path(path), SSLConfig(), "ssl config")
    for name in ("server_key", "server_cert", *(("custom_ca",) if config.client_verify else ())):
        if "-----BEGIN" not in getattr(config, name):
            raise UserError(f"ssl config {path} is wrong: {name} must be the text of a PEM file")
    credentials = grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        config.custom_ca.encode() or None,
        config.client_verify,
    )
    try:  # only a port shows whether they fit
        grpc.server(ThreadPoolExecutor(1)).add_secure_port("127.0.0.1:0", credentials)
    except RuntimeError:
        raise UserError(
            f"ssl config {path} is wrong: the key and certificates do not fit"
        ) from None
    return credentials
