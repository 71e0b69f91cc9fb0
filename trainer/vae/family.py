"""The family `vae`: vectors in; latents, reconstructions, samples and an anomaly score out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from trainer import tables
from trainer.diagnosis import advice, extreme
from trainer.errors import DataRejected, KembarError
from trainer.families import BATCH, ContractSignature, Tensor
from trainer.features import LABEL, VECTOR
from trainer.fitting import devices
from trainer.fitting.checkpoint import Checkpoint
from trainer.fitting.training import FittedModel, Progress, TrainingLog, TransformedData, load_vectors
from trainer.fitting.warm_start import Base
from trainer.metrics import not_finite
from trainer.scaling import Scaling, check_varied, to_standard, to_unit
from trainer.spec import Spec, VectorSpec, narrow
from trainer.undefined import Undefined
from trainer.vae import pictures
from trainer.vae.baselines import mean_nll, pca_nll
from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.evaluation import evaluate
from trainer.vae.serving import VaeServing
from trainer.vae.signatures import anomaly_threshold
from trainer.vae.training import evaluation_vectors, kept_epoch, train
from trainer.vae.vae_config import Vae, VaeTraining

EVALUATED = "evaluate"
SCORE = "evaluation"
PREPROCESSING = Vae.PREPROCESSING
EVALUATION = Vae.EVALUATION
SHAPE = ("encoder", "decoder", "latent", "activation", "likelihood")
# What `evaluate` gives for each row, in this order.
COLUMNS = ("elbo", "negative_elbo", "nll", "reconstruction", "kl")
# Draws a row for the numbers that go into the training log and the pictures.
_LOG_SAMPLES, _LOG_ROWS = 50, 2_000


def preprocess(inputs: dict[str, Any], spec: Spec, base: Base | None = None) -> dict[str, Any]:
    """Return `vector` [batch, n], scaled, and `label` as it is, if there is one.

    A Bernoulli likelihood takes the declared range to 0..1, a Gaussian standardizes each column.
    """
    del base  # whose scaling was that of other data
    bernoulli = narrow(spec.model, Vae).likelihood == "bernoulli"
    scaled = to_unit(inputs[VECTOR], _declared(spec)) if bernoulli else to_standard(inputs[VECTOR])
    return {VECTOR: scaled} | ({LABEL: inputs[LABEL]} if spec.label is not None else {})


def fit(data: TransformedData, spec: Spec) -> FittedModel:
    """Train, from the weights of `data.base` if there is one, and return the model with its threshold.

    Kept is the epoch with the least eval loss among those in which the KL has its full weight. With
    `data.log_dir` pictures of the model are drawn there.

    Raises:
      DataRejected: Vectors far outside all others leave the eval split without a finite loss.
      KembarError: The eval split's loss was never a number.
    """
    config, training = narrow(spec.model, Vae), narrow(spec.training, VaeTraining)
    vector = narrow(spec.vector, VectorSpec)
    keras.utils.set_random_seed(training.seed)
    rows, _ = load_vectors(data, "train")
    held_out, labels = load_vectors(data, "eval")
    scaling = None
    if config.likelihood == "gaussian":
        check_varied(rows, vector)
        scaling = Scaling(data.transform, rows.shape[-1])

    def outlier(scaled: np.ndarray) -> str:
        return "" if scaling is None else extreme(scaled, scaling.inverse, vector.name)

    def advised(rate: float) -> str:
        return advice(rate, training.mixed_precision, not training.clip_norm, outlier(rows))

    callbacks = [*data.watchers(), Progress(training.epochs, advised)]
    checkpoint = Checkpoint(data.checkpoints)
    try:
        trained, history = train(config, training, rows, held_out, callbacks, checkpoint, data.base)
    except FloatingPointError:
        far = outlier(held_out)
        if far:
            raise DataRejected(
                "[data] eval: the loss is no finite number in any epoch, and no epoch can be chosen: "
                f"{far}: remove or mend such rows"
            ) from None
        never = f"the eval split's loss was never a number in {training.epochs} epochs"
        raise KembarError(f"{never}: {advised(training.learning_rate)}") from None
    seconds = checkpoint.seconds
    # Served in float32 and on any machine, whatever it was trained in and on.
    model = VariationalAutoencoder(config, rows.shape[-1], training.seed)
    model.set_weights(trained.get_weights())
    judged = evaluation_vectors(config, held_out)
    # Vectors as they will be asked for, also where the model learned from draws of 0 and 1.
    threshold = anomaly_threshold(model, held_out, scaling.log_jacobian if scaling is not None else 0.0)
    quality = evaluate(model, judged[:_LOG_ROWS], _LOG_SAMPLES)
    if data.log_dir is not None:
        folder, shown = Path(data.log_dir, "pictures"), None if labels is None else list(labels[:_LOG_ROWS])
        pictures.write_all(folder, model, judged[:_LOG_ROWS], quality.kl_by_dimension, history, shown)
    details = {
        **devices.describe(trained),
        **checkpoint.details,
        "kl_by_dimension": list(quality.kl_by_dimension),
        "active_units": quality.active_units,
        "collapse": str(quality.collapse),
        "verdict": quality.verdict,
        "anomaly_threshold": threshold,
    }
    kept = kept_epoch(history, config)
    log = TrainingLog.of(model, history, len(rows), seconds, details, kept_epoch=kept)
    return FittedModel(model, log, threshold)


def export(
    model: keras.Model, transform: tft.TFTransformOutput, spec: Spec, threshold: float | None = None
) -> VaeServing:
    """Return the served module, with the signatures that `VaeServing` lists."""
    vae, dimension = narrow(model, VariationalAutoencoder), narrow(spec.vector, VectorSpec).dimension
    return VaeServing(vae, narrow(threshold, float), transform, dimension)


def objectives(spec: Spec) -> dict[str, str]:
    """The negative ELBO and its reconstruction; the loss depends on `beta`, which may be tuned."""
    return {primary_metric(spec): "val_negative_elbo", "reconstruction": "val_reconstruction"}


def metrics(label: np.ndarray, score: np.ndarray, spec: Spec) -> dict[str, float]:
    """Means over the rows of `score`, [rows, 5] in the order of `COLUMNS`, in nats; undefined without rows.

    Of a Gaussian they are densities of the raw vectors.
    """
    del label, spec
    if not score.size:
        return dict.fromkeys(COLUMNS, Undefined("there are no rows"))
    columns = score.reshape(-1, len(COLUMNS)).astype(np.float64)
    return {name: _mean(columns[:, [at]]) for at, name in enumerate(COLUMNS)}


def primary_metric(spec: Spec) -> str:
    """The negative ELBO, also where another bound is trained on."""
    del spec
    return "negative_elbo"


def baselines(
    train: pa.Table, splits: dict[str, pa.Table], spec: Spec
) -> dict[str, dict[str, dict[str, float]]]:
    """The mean vector, and PCA with as many dimensions as latents, at most; nats as in `metrics`."""
    config = narrow(spec.model, Vae)
    scale, nats = _scaler(tables.vectors(train), spec)
    learned = evaluation_vectors(config, scale(tables.vectors(train)))
    measured: dict[str, dict[str, dict[str, float]]] = {"mean_vector": {}, "pca": {}}
    for split, table in splits.items():
        judged = evaluation_vectors(config, scale(tables.vectors(table)))
        alone = mean_nll(config, learned, judged) + nats
        measured["mean_vector"][split] = {"negative_elbo": alone, "nll": alone}
        measured["pca"][split] = {"negative_elbo": pca_nll(config, learned, judged) + nats}
    return measured


def slices(train: pa.Table, rows: pa.Table, spec: Spec) -> dict[str, np.ndarray]:
    """No slices: nothing is known that vectors have in common."""
    del train, rows, spec
    return {}


def golden_requests(spec: Spec) -> dict[str, dict[str, list]]:
    """The lowest and the highest vector of the range, or of 0..1; the latent 0; a sample of three."""
    vector, latent = narrow(spec.vector, VectorSpec), narrow(spec.model, Vae).latent
    ends = {VECTOR: [[limit] * vector.dimension for limit in vector.range or (0.0, 1.0)]}
    return {
        **dict.fromkeys(("serving_default", "encode", "reconstruct"), ends),
        "decode": {"latent": [[0.0] * latent]},
        "sample": {"seed": [7], "count": [3]},
    }


def contract(spec: Spec) -> dict[str, ContractSignature]:
    """The signatures of `VaeServing`; the width of inputs is checked in the graph, with a sentence."""
    width, latent = narrow(spec.vector, VectorSpec).dimension, narrow(spec.model, Vae).latent
    row, number = Tensor("float32", (BATCH, "width")), Tensor("float32")
    scores = {"elbo": number, "reconstruction": number, "kl": number, "anomaly": Tensor("bool")}
    vector = {VECTOR: Tensor("float32", (BATCH, width))}
    latents = Tensor("float32", (BATCH, latent))
    whole = Tensor("int64", None)
    return {
        "serving_default": ContractSignature({VECTOR: row}, scores),
        "score": ContractSignature({VECTOR: row}, scores),
        "encode": ContractSignature({VECTOR: row}, {"mean": latents, "log_variance": latents}),
        "reconstruct": ContractSignature({VECTOR: row}, vector),
        "decode": ContractSignature({"latent": row}, vector),
        "sample": ContractSignature({"seed": whole, "count": whole}, {**vector, "latent": latents}),
        "serve_examples": ContractSignature({"examples": Tensor("string")}, scores),
    }


def _mean(column: np.ndarray) -> float:
    """The mean of [rows, 1], undefined where a row is not finite."""
    reason = not_finite(column)
    return Undefined(reason) if reason else float(column.mean())


def _declared(spec: Spec) -> tuple[float, float]:
    """The declared range; `trainer.spec.check_range` refuses a Bernoulli likelihood without one."""
    return narrow(narrow(spec.vector, VectorSpec).range, tuple)


def _scaler(train: np.ndarray, spec: Spec) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """The scaling of `preprocess` in numpy, learned from the same rows, and its `log_jacobian`."""
    if narrow(spec.model, Vae).likelihood == "bernoulli":
        return lambda vectors: to_unit(tf.constant(vectors, tf.float32), _declared(spec)).numpy(), 0.0
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    deviation = np.where(deviation > 0, deviation, 1.0)
    return lambda vectors: ((vectors - mean) / deviation).astype(np.float32), float(np.log(deviation).sum())
