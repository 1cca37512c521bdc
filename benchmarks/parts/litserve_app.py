"""A SavedModel behind LitServe, batched: python litserve_app.py FOLDER PORT."""

import base64
import sys
from typing import Any

import litserve  # type: ignore[import-not-found]
import tensorflow as tf


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        self.model = tf.saved_model.load(sys.argv[1])
        self.signature = self.model.signatures["serving_default"]

    def decode_request(self, request: dict[str, str]) -> bytes:
        return base64.b64decode(request["image"])

    def batch(self, inputs: list[bytes]) -> Any:
        return tf.constant(inputs)

    def predict(self, images: Any) -> Any:
        return self.signature(image_bytes=images)["scores"].numpy()

    def unbatch(self, scores: Any) -> list[Any]:
        return list(scores)

    def encode_response(self, scores: Any) -> dict[str, list[float]]:
        return {"scores": scores.tolist()}


if __name__ == "__main__":
    api = Classifier(max_batch_size=32, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False)
