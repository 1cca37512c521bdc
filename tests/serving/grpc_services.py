"""A gRPC server for the client's tests, and a service that fails at first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from serving.protos import predict_pb2, prediction_service_pb2_grpc
from serving.tensors import to_proto


class Flaky(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Fails a number of times with a code, then answers."""

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.calls = 0

    def Predict(self, request: Any, context: Any) -> Any:
        self.calls += 1
        if self.failures:
            context.abort(self.failures.pop(), "flaky")
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = 1
        response.outputs["y"].CopyFrom(to_proto(np.float32([self.calls])))
        return response


@contextmanager
def served(service: Any, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """A gRPC server with this service; gives its address."""
    server = grpc.server(ThreadPoolExecutor(16))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    if credentials:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()
