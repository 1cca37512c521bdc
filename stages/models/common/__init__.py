"""What models share. It is imported before TensorFlow, which it tells what to do."""

import os

# TensorFlow calls harmless things errors, and leaves oneDNN's kernels, twice as fast for the
# cartoonizer, to processors with AVX-512.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Operations that run side by side add up gradients in the order in which they end, whatever
# `enable_op_determinism` says: the last bits of sketchify's weights differed from run to run.
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
