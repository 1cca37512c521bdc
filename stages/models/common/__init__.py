"""What models share. It is imported before TensorFlow, which it tells what to do."""

import os

# TensorFlow calls harmless things errors, and leaves oneDNN's kernels, twice as fast for the
# cartoonizer, to processors with AVX-512.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
