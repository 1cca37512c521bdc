"""A model server with fixed answers: gRPC without TensorFlow. `python -m ... PORT` runs it."""

import sys
import threading
from concurrent import futures

import grpc
import numpy as np

from serving.protos import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from serving.tensors import to_array, to_proto

CARTOON_OR_PHOTO = ("cartoon", "photo")
CHARACTERS = ("Aki", "Botan", "Chiyo", "Daiki")


class FakeServer:
    """Serves `models`: name -> (class names, version -> scores of the first picture).

    Each further picture of a request gets the scores rotated by one place, so that faces differ.
    `labels` says which version is stable and which canary; `received` has the pictures of each
    request; `verdicts` holds the verdict of each model that gives one. Models without class names
    are image models: they answer with the picture itself, and `styles` has their last styles.
    `face_detector` finds `faces`, left, top, width and height each, in every picture.
    """

    def __init__(self, port: int = 0) -> None:
        self.models: dict[str, tuple[tuple[str, ...], dict[int, list[float]]]] = {
            "colours": (CARTOON_OR_PHOTO, {1: [0.91, 0.09]}),
            "xception": (CARTOON_OR_PHOTO, {1: [0.3, 0.7], 2: [0.985, 0.015]}),
            "face_detector": ((), {1: []}),
            "character_cnn": (
                CHARACTERS,
                {1: [0.1, 0.2, 0.65, 0.05], 2: [0.04, 0.9, 0.03, 0.03]},
            ),
        }
        self.labels: dict[str, dict[str, int]] = {
            "colours": {"stable": 1},
            "xception": {"stable": 2, "canary": 1},
            "character_cnn": {"stable": 1, "canary": 2},
            "face_detector": {"stable": 1},
        }
        self.verdicts: dict[str, str] = {}
        self.faces: list[tuple[int, int, int, int]] = []
        self.styles: dict[str, float] = {}
        self.received: dict[str, list[list[bytes]]] = {}
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _Predictions(self), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(self), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def wait(self) -> None:
        self._server.wait_for_termination()

    def note(self, model: str, images: list[bytes]) -> None:
        with self._lock:
            self.received.setdefault(model, []).append(images)


class _Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake

    def Predict(self, request, context):  # type: ignore[no-untyped-def]
        spec = request.model_spec
        if spec.name not in self.fake.models:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {spec.name}")
        names, versions = self.fake.models[spec.name]
        number = spec.version.value or max(versions)
        if spec.version_label:
            if spec.version_label not in self.fake.labels[spec.name]:
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Unrecognized servable version label: {spec.version_label}",
                )
            number = self.fake.labels[spec.name][spec.version_label]
        if number not in versions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {spec.name}/{number}")
        images = to_array(request.inputs["image_bytes"]).tolist()
        self.fake.note(spec.name, images)
        if spec.name == "face_detector":
            response = predict_pb2.PredictResponse()
            response.model_spec.version.value = number
            count = len(self.fake.faces)
            rows = np.zeros((len(images), 8, 4), np.float32)
            rows[:, :count] = np.reshape(self.fake.faces, (-1, 4))
            scores = np.where(np.arange(8) < count, 0.9, 0.0)
            found = {
                "boxes": rows,
                "scores": np.tile(scores.astype(np.float32), (len(images), 1)),
                "count": np.full(len(images), count, np.int32),
            }
            for name, array in found.items():
                response.outputs[name].CopyFrom(to_proto(array))
            return response
        if spec.signature_name == "embed":
            response = predict_pb2.PredictResponse()
            response.model_spec.version.value = number
            encodings = np.eye(len(images), 8, dtype=np.float32)
            response.outputs["embedding"].CopyFrom(to_proto(encodings))
            return response
        if not names:
            self.fake.styles = {
                name: float(to_array(tensor)[0])
                for name, tensor in request.inputs.items()
                if name != "image_bytes"
            }
            response = predict_pb2.PredictResponse()
            response.model_spec.version.value = number
            drawn = np.asarray(images, dtype=object)
            response.outputs["image_png"].CopyFrom(to_proto(drawn))
            return response
        scores = [np.roll(versions[number], place) for place in range(len(images))]
        response = predict_pb2.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = number
        response.outputs["scores"].CopyFrom(to_proto(np.asarray(scores, np.float32)))
        classes = np.asarray([list(names)] * len(images), dtype=object)
        response.outputs["classes"].CopyFrom(to_proto(classes))
        if spec.name in self.fake.verdicts:
            verdicts = np.asarray([self.fake.verdicts[spec.name]] * len(images), dtype=object)
            response.outputs["verdict"].CopyFrom(to_proto(verdicts))
        return response


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake

    def GetModelStatus(self, request, context):  # type: ignore[no-untyped-def]
        name = request.model_spec.name
        if name not in self.fake.models:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of {name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number in self.fake.models[name][1]:
            entry = response.model_version_status.add(version=number)
            entry.state = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        return response


if __name__ == "__main__":
    server = FakeServer(int(sys.argv[1]))
    print(f"fake model server at {server.address}")
    server.wait()
