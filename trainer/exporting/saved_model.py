"""Preparation of a module with a Keras model for TensorFlow to save it for TF Serving."""

from __future__ import annotations

import keras
import tensorflow as tf


def hold_variables(module: tf.Module, model: keras.Model) -> None:
    """Makes the module hold the variables of `model` themselves, in place of the model.

    Keras 3 saves a copy of each of its variables. Python's loader knows that the copy is meant; the loader
    of TF Serving restores the copy, and every signature, which reads the original, fails: "Could not find
    variable". What the module holds itself is saved as what it is, and once.
    """
    for part in (module, *module.submodules):
        for name, value in list(vars(part).items()):
            if isinstance(value, keras.Model):
                delattr(part, name)  # TensorFlow tracks it no more,
                object.__setattr__(part, name, value)  # and Python still finds it
    module.model_variables = [variable.value for variable in model.variables]
