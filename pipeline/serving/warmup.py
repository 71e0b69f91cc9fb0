"""Warm-up: a new version answers recorded requests before its first client does, as in TF Serving.

The requests lie in `assets.extra/tf_serving_warmup_requests`, a TFRecord file of PredictionLog messages. The
first call of a signature is the slow one; and a version that cannot answer them must not go into service.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.serving import examples
from pipeline.serving.errors import ServingError, short_line
from pipeline.serving.model import LoadedModel

logger = logging.getLogger(__name__)

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"

# TF Serving refuses files of more; here the rest is left out, because a slow start helps nobody.
_MOST_REQUESTS = 1000
_KINDS = ("predict_log", "regress_log", "classify_log")
_MORE_ROUNDS, _MORE_SECONDS = 10, 1.0


def warm_up(model: LoadedModel) -> int:
    """Replays the version's recorded requests to Predict, Regress and Classify; returns how many there were.

    Raises:
        ServingError: the file cannot be read, or the model fails on one of its own requests.
    """
    path = model.path / WARMUP_FILE
    if not path.is_file():
        return 0
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        logger.info("%s: not replayed, tensorflow-serving-api is not installed", path)
        return 0
    import tensorflow as tf

    requests = []
    try:
        for record in tf.data.TFRecordDataset(str(path)).take(_MOST_REQUESTS).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            kind = log.WhichOneof("log_type")
            if kind not in _KINDS:
                continue  # what others may record: sessions, several inferences at once
            requests.append(_signature_and_inputs(getattr(log, kind).request))
            model.predict(*requests[-1])
        # The kernels choose their ways, and find their memory, in the first few calls.
        end = time.monotonic() + _MORE_SECONDS
        for _ in range(_MORE_ROUNDS):
            for request in requests:
                if time.monotonic() < end:
                    model.predict(*request)
    # Damaged records and failing graphs raise errors of TensorFlow, protobuf and numpy.
    except Exception as error:
        raise ServingError(
            short_line(f"{path}: warm-up request {len(requests) or 1} failed: {error}")
        ) from error
    return len(requests)


def _signature_and_inputs(request: Any) -> tuple[str, dict[str, np.ndarray]]:
    """Signature and inputs of a recorded request."""
    import tensorflow as tf

    name = request.model_spec.signature_name
    if hasattr(request, "inputs"):
        return name, {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
    rows = request.input.example_list.examples
    return name, {examples.INPUTS: examples.as_array([row.SerializeToString() for row in rows])}
