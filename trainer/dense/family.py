"""The family `dense`: a vector in, the probability of each class out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainer import tables
from trainer.dense.builders import build
from trainer.dense.dense_config import Dense, DenseTraining
from trainer.diagnosis import advice, check_labels, extreme
from trainer.families import BATCH, ContractSignature, Tensor
from trainer.features import LABEL, PRIMARY, VECTOR, Label
from trainer.fitting import devices
from trainer.fitting.order import RowOrder, draws, even_batches
from trainer.fitting.training import FittedModel, TransformedData, load_vectors, run_epochs
from trainer.fitting.warm_start import Base, carry_over
from trainer.metrics import class_metrics
from trainer.scaling import Scaling, to_standard
from trainer.spec import Spec, VectorSpec, narrow

EVALUATED = "serve_examples"
SCORE = "probabilities"
PREPROCESSING = Dense.PREPROCESSING
EVALUATION = Dense.EVALUATION
SHAPE = ("hidden", "builder")
_EVALUATED_ROWS = 8_192


def preprocess(inputs: dict[str, Any], spec: Spec, base: Base | None = None) -> dict[str, Any]:
    """Return `vector` [batch, n], standardized, and `label` [batch, 1] as it is."""
    del spec, base  # whose scaling was that of other data
    return {VECTOR: to_standard(inputs[VECTOR]), LABEL: inputs[LABEL]}


def fit(data: TransformedData, spec: Spec) -> FittedModel:
    """Train, from the weights of `data.base` if there is one, and return the model without a threshold.

    Kept is the epoch with the least loss on the eval split; after `patience` worse ones training stops.
    """
    training = narrow(spec.training, DenseTraining)
    keras.utils.set_random_seed(training.seed)
    vectors, labels = load_vectors(data, "train")
    labels = narrow(labels, np.ndarray)
    check_labels(narrow(spec.label, Label), labels.min(), labels.max(), len(labels))
    with devices.precision(training.mixed_precision), devices.strategy().scope():
        model = _build(spec, training)
        if data.base is not None:
            carry_over(model, data.base)
        model.compile(
            keras.optimizers.Adam(training.learning_rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )

    def advised(rate: float) -> str:
        inverse = Scaling(data.transform, vectors.shape[-1]).inverse
        outlier = extreme(vectors, inverse, narrow(spec.vector, VectorSpec).name)
        return advice(rate, training.mixed_precision, False, outlier)

    parts = devices.replicas(model)
    devices.check_shares(training.batch_size, len(vectors), parts)
    order = RowOrder(draws(training.seed, training.epochs, 1))
    held_out = even_batches(load_vectors(data, "eval"), _EVALUATED_ROWS, parts)

    def measure() -> float:
        return model.evaluate(held_out, verbose=0, return_dict=True)["loss"]

    # Fewer rows than `batch_size` are one batch.
    batches = order.batches((vectors, labels), min(training.batch_size, len(vectors) - len(vectors) % parts))
    log = run_epochs(
        model, batches, data, training, rows=len(vectors), metric="val_loss", measure=measure,
        advice=advised, callbacks=[order], held_out=held_out,
    )  # fmt: skip
    # Served in float32 and on any machine, whatever it was trained in and on.
    served = _build(spec, training)
    served.set_weights(model.get_weights())
    return FittedModel(served, log)


def export(
    model: keras.Model, transform: tft.TFTransformOutput, spec: Spec, threshold: float | None = None
) -> DenseServing:
    """Return the served module, with `serving_default` and `serve_examples`."""
    del threshold  # the most probable class needs none
    return DenseServing(model, transform, spec)


class DenseServing(tf.Module):
    """Raw vectors in, class probabilities out.

    Signatures:
      serving_default: vector (float [batch, n]) -> probabilities (float [batch, classes]),
        label (string [batch]).
      serve_examples: examples (serialized tf.Example [batch]) -> the same.
    """

    def __init__(self, model: keras.Model, transform: tft.TFTransformOutput, spec: Spec) -> None:
        super().__init__(name="dense")
        self._model = model
        self._dimension = _dimension(spec)
        self._scaling = Scaling(transform, self._dimension)
        self._names = tf.constant(_classes(spec))

    def served(self) -> dict[str, Any]:
        """Signature name to concrete function, for tf.saved_model.save."""
        vector = tf.TensorSpec([None, self._dimension], tf.float32, VECTOR)
        examples = tf.TensorSpec([None], tf.string, "examples")
        return {
            "serving_default": self.classify.get_concrete_function(vector),
            "serve_examples": self.classify_examples.get_concrete_function(examples),
        }

    @tf.function
    def classify(self, vector: tf.Tensor) -> dict[str, tf.Tensor]:
        """vector: float [batch, n]."""
        probabilities = self._model(self._scaling.forward(vector), training=False)
        return {"probabilities": probabilities, "label": tf.gather(self._names, tf.argmax(probabilities, -1))}

    @tf.function
    def classify_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """examples: serialized tf.Example [batch]."""
        spec = {VECTOR: tf.io.FixedLenFeature([self._dimension], tf.float32)}
        return self.classify(tf.io.parse_example(examples, spec)[VECTOR])


def objectives(spec: Spec) -> dict[str, str]:
    """Accuracy, and the loss, a cross-entropy, which also decides which epoch is kept."""
    return {primary_metric(spec): "val_accuracy", "loss": "val_loss"}


def metrics(label: np.ndarray, score: np.ndarray, spec: Spec) -> dict[str, float]:
    """Metrics of `score`, the probabilities [rows, classes], against `label`, class numbers [rows, 1]."""
    return class_metrics(label, score, len(_classes(spec)))


def primary_metric(spec: Spec) -> str:
    """Accuracy."""
    del spec
    return PRIMARY["classes"]


def baselines(
    train: pa.Table, splits: dict[str, pa.Table], spec: Spec
) -> dict[str, dict[str, dict[str, float]]]:
    """The shares of the classes, and a logistic regression."""
    count = len(_classes(spec))
    known = tables.labels(train).astype(int)
    check_labels(narrow(spec.label, Label), known.min(), known.max(), len(known))
    shares = np.bincount(known, minlength=count) / len(known)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(
        tables.vectors(train).astype(np.float64), known
    )
    measured: dict[str, dict[str, dict[str, float]]] = {"majority": {}, "logistic_regression": {}}
    for split, table in splits.items():
        label, vectors = tables.labels(table), tables.vectors(table).astype(np.float64)
        measured["majority"][split] = metrics(label, np.tile(shares, (len(label), 1)), spec)
        # A class that is not in training has no column.
        probabilities = np.zeros((len(label), count))
        probabilities[:, logistic.classes_] = logistic.predict_proba(vectors)
        measured["logistic_regression"][split] = metrics(label, probabilities, spec)
    return measured


def slices(train: pa.Table, rows: pa.Table, spec: Spec) -> dict[str, np.ndarray]:
    """By class."""
    del train
    return {"class": np.array(_classes(spec), object)[tables.labels(rows).astype(int)]}


def golden_requests(spec: Spec) -> dict[str, dict[str, list]]:
    """The lowest and the highest vector of the declared range, or of 0..1."""
    limits = narrow(spec.vector, VectorSpec).range or (0.0, 1.0)
    return {"serving_default": {VECTOR: [[limit] * _dimension(spec) for limit in limits]}}


def contract(spec: Spec) -> dict[str, ContractSignature]:
    """The signatures of `DenseServing`."""
    probabilities = Tensor("float32", (BATCH, len(_classes(spec))))
    outputs = {"probabilities": probabilities, "label": Tensor("string")}
    return {
        "serving_default": ContractSignature({VECTOR: Tensor("float32", (BATCH, _dimension(spec)))}, outputs),
        "serve_examples": ContractSignature({"examples": Tensor("string")}, outputs),
    }


def _build(spec: Spec, training: DenseTraining) -> keras.Model:
    return build(narrow(spec.model, Dense), _dimension(spec), len(_classes(spec)), training.seed)


def _dimension(spec: Spec) -> int:
    return narrow(spec.vector, VectorSpec).dimension


def _classes(spec: Spec) -> tuple[str, ...]:
    return narrow(narrow(spec.label, Label).classes, tuple)
