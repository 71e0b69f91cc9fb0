"""Warm-up requests inside the exported model: TF Serving sends them to itself before a version serves.

Without them the first client of a new version pays for the first run of its graph.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from trainer.exporting.inference import CLASSIFY, EXAMPLES, REGRESS, Function

# The name is TF Serving's, and so is the limit of 1,000 records.
FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
DEFAULT = "serving_default"


def write_warmup(
    model_dir: str, signatures: dict[str, Function], requests: dict[str, dict[str, list[Any]]]
) -> None:
    """Writes one PredictionLog for each request, and one for each signature that takes tf.Examples.

    Args:
      model_dir: A SavedModel.
      signatures: Signature name to concrete function, for the types of the inputs.
      requests: Signature name to inputs, plain lists by name. Examples are made of the rows for
        `serving_default`.
    """
    path = os.path.join(model_dir, FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for log in _logs(signatures, requests):
            writer.write(log.SerializeToString())


def _logs(
    signatures: dict[str, Function], requests: dict[str, dict[str, list[Any]]]
) -> Iterator[prediction_log_pb2.PredictionLog]:
    for name, inputs in requests.items():
        yield _predict(name, signatures[name], inputs)
    if EXAMPLES not in signatures or DEFAULT not in requests:
        return
    rows = _examples(requests[DEFAULT])
    serialized = [row.SerializeToString() for row in rows]
    yield _predict(EXAMPLES, signatures[EXAMPLES], {"examples": serialized})
    for name in (REGRESS, CLASSIFY):
        if name in signatures:
            examples = {"example_list": {"examples": rows}}
            log = {"request": {"model_spec": {"signature_name": name}, "input": examples}}
            yield prediction_log_pb2.PredictionLog(**{f"{name}_log": log})


def _predict(
    name: str, signature: Function, inputs: dict[str, list[Any]]
) -> prediction_log_pb2.PredictionLog:
    specs: list[tf.TensorSpec] = tf.nest.flatten(signature.structured_input_signature)
    dtypes = {spec.name: spec.dtype for spec in specs}
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = name
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value, dtype=dtypes[key]))
    return prediction_log_pb2.PredictionLog(predict_log={"request": request})


def _examples(inputs: dict[str, list[Any]]) -> list[tf.train.Example]:
    """Columns of texts or of vectors to the rows that are parsed into them."""
    columns = [[(name, _feature(value)) for value in values] for name, values in inputs.items()]
    return [
        tf.train.Example(features=tf.train.Features(feature=dict(row))) for row in zip(*columns, strict=True)
    ]


def _feature(value: str | list[float]) -> tf.train.Feature:
    if isinstance(value, str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=value))
