"""The same network twice: by the Sequential and by the Functional API of Keras.

Both start from the same weights for the same seed; a test compares them weight by weight.
"""

from __future__ import annotations

import keras

from trainer.dense.dense_config import Dense


def build(model: Dense, dimension: int, classes: int, seed: int) -> keras.Model:
    """A model from vectors, float [batch, dimension], to class probabilities [batch, classes]."""
    builders = {"functional": functional, "sequential": sequential}
    return builders[model.builder](model.hidden, dimension, classes, seed)


def sequential(hidden: tuple[int, ...], dimension: int, classes: int, seed: int) -> keras.Model:
    """A list of layers."""
    vector = keras.Input((dimension,), name="vector")
    return keras.Sequential([vector, *_layers(hidden, classes, seed)], name="dense")


def functional(hidden: tuple[int, ...], dimension: int, classes: int, seed: int) -> keras.Model:
    """A graph of tensors, which could also branch."""
    vector = keras.Input((dimension,), name="vector")
    tensor = vector
    for layer in _layers(hidden, classes, seed):
        tensor = layer(tensor)
    return keras.Model(vector, tensor)


def _layers(hidden: tuple[int, ...], classes: int, seed: int) -> list[keras.layers.Layer]:
    """Each layer draws its first weights from a seed of its own."""

    def first(at: int) -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=seed + at)

    layers = [
        keras.layers.Dense(units, "relu", kernel_initializer=first(at), name=f"hidden_{at}")
        for at, units in enumerate(hidden)
    ]
    # Probabilities and their logarithms are float32 whatever the layers before compute in.
    last = keras.layers.Dense(
        classes, "softmax", kernel_initializer=first(len(hidden)), name="probabilities", dtype="float32"
    )
    return [*layers, last]
