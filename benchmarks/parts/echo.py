"""A bare grpcio server: reads each PredictRequest and answers with the response that it was given.

Its stdin's first line is that response in base64; it prints its port.
"""

import base64
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from serving.protos import predict_pb2, prediction_service_pb2_grpc


class Echo(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, response: Any) -> None:
        self.response = response

    def Predict(self, request: Any, context: Any) -> Any:
        return self.response


def main() -> None:
    response = predict_pb2.PredictResponse.FromString(base64.b64decode(sys.stdin.readline()))
    server = grpc.server(ThreadPoolExecutor(4 * (os.cpu_count() or 1)))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Echo(response), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()  # until its parent goes


if __name__ == "__main__":
    main()
