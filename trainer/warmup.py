"""Warm-up requests inside the exported model: TF Serving sends them to itself before a version serves.

Without them the first client of a new version pays for the first run of its graph.
"""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

# The name is TF Serving's, and so is the limit of 1,000 records.
FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def write_warmup(model_dir: str, signatures: dict[str, Any], requests: dict[str, dict[str, list]]) -> None:
    """Writes one PredictionLog for each request.

    Args:
      model_dir: A SavedModel.
      signatures: Signature name to concrete function, for the types of the inputs.
      requests: Signature name to inputs, plain lists by name.
    """
    path = os.path.join(model_dir, FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests.items():
            specs = {
                spec.name: spec for spec in tf.nest.flatten(signatures[signature].structured_input_signature)
            }
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value, dtype=specs[name].dtype))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
