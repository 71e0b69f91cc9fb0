"""Signatures for Classify and Regress of TF Serving, which ask for fixed names of tensors.

A signature is for Regress if it takes `inputs`, serialized tf.Examples, and gives `outputs`; for Classify if
it gives `classes` and `scores`. Both are made of `serve_examples`, so that one scoring function stands behind
them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import tensorflow as tf

from trainer.families import BATCH, ContractSignature, Tensor

Function: TypeAlias = tf.types.experimental.ConcreteFunction

EXAMPLES, REGRESS, CLASSIFY = "serve_examples", "regress", "classify"


def with_inference(served: Mapping[str, Function]) -> dict[str, Function]:
    """The signatures, and those that can be made of them for Regress and Classify.

    Args:
      served: Signature name to concrete function. What `serve_examples` gives decides: a `score` makes
        `regress`; `score` and `label`, a probability and 0 or 1, make `classify` with the classes 0 and 1;
        `probabilities` and `label` make `classify` with the most probable class.
    """
    if EXAMPLES not in served:
        return dict(served)
    examples = served[EXAMPLES]
    given = set[str](examples.structured_outputs)
    inputs = [tf.TensorSpec([None], tf.string, "inputs")]

    @tf.function(input_signature=inputs)
    def regress(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": examples(inputs)["score"]}

    @tf.function(input_signature=inputs)
    def classify_binary(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        score: tf.Tensor = examples(inputs)["score"]
        classes = tf.tile([["0", "1"]], [tf.size(score), 1])
        return {"classes": classes, "scores": tf.stack([1 - score, score], axis=1)}

    @tf.function(input_signature=inputs)
    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = examples(inputs)
        best = tf.reduce_max(outputs["probabilities"], axis=1, keepdims=True)
        return {"classes": outputs["label"][:, tf.newaxis], "scores": best}

    made = {}
    if "score" in given:
        made[REGRESS] = regress.get_concrete_function()
    if {"score", "label"} <= given:
        made[CLASSIFY] = classify_binary.get_concrete_function()
    elif {"probabilities", "label"} <= given:
        made[CLASSIFY] = classify.get_concrete_function()
    return {**served, **made}


def promise_inference(promised: Mapping[str, ContractSignature]) -> dict[str, ContractSignature]:
    """The contract of a family, and what `with_inference` adds to it."""
    given = set(promised[EXAMPLES].outputs if EXAMPLES in promised else ())
    takes = {"inputs": Tensor("string")}
    made = {}
    if "score" in given:
        made[REGRESS] = ContractSignature(takes, {"outputs": Tensor("float32")})
    if {"score", "label"} <= given or {"probabilities", "label"} <= given:
        classes = 2 if "score" in given else 1
        made[CLASSIFY] = ContractSignature(
            takes,
            {"classes": Tensor("string", (BATCH, classes)), "scores": Tensor("float32", (BATCH, classes))},
        )
    return {**promised, **made}
