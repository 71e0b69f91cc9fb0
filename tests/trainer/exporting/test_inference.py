"""Regress and Classify are made of what a family serves, and give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.exporting.inference import promise_inference, with_inference
from trainer.families import ContractSignature, Tensor

TEXTS = {"examples": Tensor("string")}


class Served(tf.Module):
    """Scores a string by its length, in tenths."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def score(self, examples):
        return {"score": tf.cast(tf.strings.length(examples), tf.float32) / 10}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def binary(self, examples):
        score = self.score(examples)["score"]
        return {"score": score, "label": tf.cast(score > 0.5, tf.int64)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def classes(self, examples):
        score = self.score(examples)["score"]
        names = tf.where(score > 0.5, "long", "short")
        return {"probabilities": tf.stack([1 - score, score], axis=1), "label": names}


def loaded(tmp_path, name):
    module = Served()
    signatures = with_inference({"serve_examples": getattr(module, name).get_concrete_function()})
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    return tf.saved_model.load(str(tmp_path)).signatures


def ask(signature, *texts):
    return {name: value.numpy().tolist() for name, value in signature(inputs=tf.constant(texts)).items()}


def test_scores_are_for_regress(tmp_path):
    signatures = loaded(tmp_path, "score")
    assert set(signatures) == {"serve_examples", "regress"}
    assert ask(signatures["regress"], "abc", "")["outputs"] == pytest.approx([0.3, 0.0])


def test_binary_scores_are_for_both(tmp_path):
    signatures = loaded(tmp_path, "binary")
    assert ask(signatures["regress"], "abc")["outputs"] == pytest.approx([0.3])
    answer = ask(signatures["classify"], "abc", "abcdefg")
    assert answer["classes"] == [[b"0", b"1"]] * 2
    np.testing.assert_allclose(answer["scores"], [[0.7, 0.3], [0.3, 0.7]], rtol=1e-6)


def test_classes_are_for_classify(tmp_path):
    signatures = loaded(tmp_path, "classes")
    assert set(signatures) == {"serve_examples", "classify"}
    answer = ask(signatures["classify"], "abc", "abcdefg")
    assert answer["classes"] == [[b"short"], [b"long"]]
    np.testing.assert_allclose(answer["scores"], [[0.7], [0.7]], rtol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "classes"),
    [({"score"}, None), ({"score", "label"}, 2), ({"probabilities", "label"}, 1), ({"elbo"}, None)],
)
def test_the_contract_says_what_is_made(outputs, classes):
    promised = promise_inference(
        {"serve_examples": ContractSignature(TEXTS, dict.fromkeys(outputs, Tensor("float32")))}
    )
    assert ("regress" in promised) == ("score" in outputs)
    assert ("classify" in promised) == (classes is not None)
    if classes:
        assert promised["classify"].outputs["scores"] == Tensor("float32", ("batch", classes))
