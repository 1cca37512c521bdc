"""The files in a version's folder."""

from pathlib import Path

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
TFLITE_FILE = "model.tflite"
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
BATCHING_FILE = "batching_params.pbtxt"
