"""TF Serving's loader is C++: what it does is what the session loader of TensorFlow 1 does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.exporting.saved_model import hold_variables


class Inner(tf.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model


class Served(tf.Module):
    def __init__(self, model):
        super().__init__()
        self._model = model
        self._inner = Inner(model)
        self._bias = tf.Variable([0.5], name="bias")

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")])
    def double(self, x):
        return {"y": self._model(x) + self._inner.model(x) + self._bias}


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(2, bias_initializer="normal")(inputs))


def serve(path):
    """The answer to a row of ones, and the names of the variables in the graph."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
        signature = meta.signature_def["serving_default"]
        answer = session.run(signature.outputs["y"].name, {signature.inputs["x"].name: np.ones((1, 3))})
        return answer, [op.name for op in graph.get_operations() if op.type == "VarHandleOp"]


def test_a_saved_model_answers_in_the_loader_of_tf_serving(model, tmp_path):
    module = Served(model)
    signatures = {"serving_default": module.double.get_concrete_function()}
    hold_variables(module, model)
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    expected = 2 * model(np.ones((1, 3))).numpy() + 0.5
    answer, variables = serve(str(tmp_path))
    np.testing.assert_allclose(answer, expected, rtol=1e-6)
    assert len(variables) == 3  # kernel, bias, and the module's own: none twice
    again = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](x=tf.ones((1, 3)))
    np.testing.assert_allclose(again["y"], expected, rtol=1e-6)


def test_it_is_the_holding_that_makes_it_answer(model, tmp_path):
    """When Keras mends this, `hold_variables` can go."""
    module = Served(model)
    signatures = {"serving_default": module.double.get_concrete_function()}
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    with pytest.raises(tf.errors.FailedPreconditionError, match="Could not find variable"):
        serve(str(tmp_path))
