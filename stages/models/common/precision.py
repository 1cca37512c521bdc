"""Mixed precision: layers that compute in bfloat16 and keep their weights in float32."""

import keras


def in_precision(network: keras.Model, policy: str) -> keras.Model:
    """A copy of a network with the same weights, whose layers compute in `policy`, but the last.

    policy: of Keras, `float32` or `mixed_bfloat16`. The last layer stays in float32: scores of 8
    bits are too coarse for a loss. Whoever compiled the network compiles the copy.
    """
    last = network.layers[-1].name

    def cloned(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        config["dtype"] = "float32" if layer.name == last else policy
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=cloned, recursive=True)
    copy.set_weights(network.get_weights())
    return copy
