"""Ask a network about a picture and its mirror image."""

import keras
from keras import ops


def mirrored(model: keras.Model) -> keras.Model:
    """The mean of the answers to a picture and to its mirror image."""
    inputs = keras.Input(model.input_shape[1:])
    # Both in one batch: two calls would be two graphs.
    answers = model(ops.concatenate([inputs, ops.flip(inputs, axis=2)]))
    pairs = ops.reshape(answers, (2, -1, answers.shape[-1]))
    return keras.Model(inputs, ops.mean(pairs, axis=0))
