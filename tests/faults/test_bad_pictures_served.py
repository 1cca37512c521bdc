"""Damaged pictures as anybody may send them to the model server: an answer or a refusal."""

import os
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf

from serving.client import BadInput, Client
from serving.client.in_flight import map_in_flight
from stages.models.common.image_ops import decode, map_images, resize

from ..serving.model_server import Server
from .corpus import damaged, whole

pytestmark = pytest.mark.slow
CUTS, FLIPS = (20, 100) if os.environ.get("CELFLOW_FAULTS") else (4, 4)
LONGEST = 5.0  # seconds
MOST = 1 << 30  # bytes by which the server's memory may grow
TAKEN = ("JPEG", "PNG", "GIF", "BMP-RGB", "BMP-L")  # the client sends all others as PNG


class Brightness(tf.Module):
    """The mean of a picture, decoded as all models decode."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def mean(data: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(tf.cast(resize(decode(data), 32), tf.float32))

        return {"mean": map_images(image_bytes, mean, "brightness")}


def test_every_damaged_picture_is_answered_or_refused(tmp_path: Path):
    module = Brightness()
    signatures = {"serving_default": module.classify}
    tf.saved_model.save(module, str(tmp_path / "brightness/1"), signatures)
    flags = ("--model_name=brightness", f"--model_base_path={tmp_path / 'brightness'}")
    with Server(tmp_path, *flags, "--enable_batching") as server:
        with Client(server.address, timeout=60, patience=60) as client:

            def ask(one: tuple[str, bytes]) -> tuple[str, object, float]:
                start, image = time.monotonic(), np.array([one[1]], object)
                try:
                    answer = client.run("brightness", {"image_bytes": image}).outputs["mean"][0]
                except Exception as error:
                    answer = error
                return one[0], answer, time.monotonic() - start

            client.wait_available("brightness", 1, 60)
            undamaged = list(map_in_flight(ask, whole().items(), 16))
            process = psutil.Process(server.process.pid)
            before = process.memory_info().rss
            asked = list(map_in_flight(ask, damaged(11, CUTS, FLIPS), 16))
            grown = process.memory_info().rss - before
            again = list(map_in_flight(ask, whole().items(), 16))
        log = server.log.read_text()
    wrong = [
        (name, answer)
        for name, answer, _ in asked
        if not isinstance(answer, BadInput | np.floating)
    ]
    assert not wrong, (len(wrong), wrong[:5])
    slow = [(name, seconds) for name, _, seconds in asked if seconds > LONGEST]
    assert not slow
    assert grown < MOST
    assert "Traceback" not in log
    for name, answer, _ in undamaged:
        if name.startswith(TAKEN):
            assert isinstance(answer, np.floating), (name, answer)
    assert [answer for _, answer, _ in again if isinstance(answer, np.floating)] == [
        answer for _, answer, _ in undamaged if isinstance(answer, np.floating)
    ]
