"""Names of the kernels that a training uses, for its log."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.spec import narrow

CUDNN = "cuDNN"


def lstm_kernel(layer: keras.layers.LSTM) -> str:
    """`cuDNN`, or why the LSTM runs as a loop of single steps instead.

    These are Keras' own conditions (keras/src/layers/rnn/lstm.py and backend/tensorflow/rnn.py of 3.15). The
    mask is looked at in each batch; the tower's is padded on the right, as cuDNN needs it.
    """
    state, gate = map(keras.activations.serialize, (layer.activation, layer.recurrent_activation))
    reasons = {
        "no GPU": not tf.config.list_logical_devices("GPU"),
        "use_cudnn is False": layer.use_cudnn is False,
        "recurrent_dropout": bool(layer.recurrent_dropout),
        f"activation {state!r}, not 'tanh'": state != "tanh",
        f"recurrent_activation {gate!r}, not 'sigmoid'": gate != "sigmoid",
        "unroll": layer.unroll,
        "no bias": not layer.use_bias,
    }
    against = [reason for reason, holds in reasons.items() if holds]
    return f"loop, not {CUDNN}: {', '.join(against)}" if against else CUDNN


def lstms(tower: keras.Model) -> list[keras.layers.LSTM]:
    """All LSTMs of a tower, those of both directions among them."""
    layers: list[keras.layers.Layer] = []
    for layer in tower.layers:
        if isinstance(layer, keras.layers.Bidirectional):
            layers += [layer.forward_layer, layer.backward_layer]
        else:
            layers.append(layer)
    return [layer for layer in layers if isinstance(layer, keras.layers.LSTM)]


def lstm_kernels(model: keras.Model) -> dict[str, str]:
    """Name of each LSTM in the tower of `model` to its kernel."""
    return {layer.name: lstm_kernel(layer) for layer in lstms(narrow(model.get_layer("tower"), keras.Model))}
