"""The seam between the pipeline and what is learned.

A family is a module that has the functions below; no component and no graph asks which one it serves.
To add one, write the module and name it here: docs/families.md goes through it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pyarrow as pa
    import tensorflow_transform as tft

    from trainer.fitting.training import FittedModel, TransformedData
    from trainer.fitting.warm_start import Base
    from trainer.spec import Spec

MODULES = {"pair": "trainer.pair.family", "vae": "trainer.vae.family", "dense": "trainer.dense.family"}
# In a shape: a size that no client may find fixed.
BATCH = "batch"


class Tensor(NamedTuple):
    """A tensor that clients see: its type, and its sizes. A name stands for a size that is not known before
    training; shape None for any number of dimensions.
    """

    dtype: str
    shape: tuple[int | str, ...] | None = (BATCH,)


class ContractSignature(NamedTuple):
    """Inputs and outputs of a signature, by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class ServedModule(Protocol):
    """A tf.Module whose `served()` gives signature names to concrete functions."""

    def served(self) -> dict[str, Any]:
        """Signatures for `tf.saved_model.save(module, path, signatures=module.served())`."""


class Family(Protocol):
    """The functions and names of a family module."""

    EVALUATED: str
    """The signature, from serialized tf.Examples, that is evaluated."""

    SCORE: str
    """Its output that is evaluated: one number or several for an example."""

    PREPROCESSING: tuple[str, ...]
    """The fields of `[model]` that `preprocess` reads: only they make the transform run again."""

    EVALUATION: tuple[str, ...]
    """The fields of `[model]` that metrics, baselines and golden requests read."""

    SHAPE: tuple[str, ...]
    """The fields of `[model]` in which a model that starts from another's weights must be like it."""

    def preprocess(self, inputs: dict[str, Any], spec: Spec, base: Base | None = None) -> dict[str, Any]:
        """Raw features to transformed ones, as a tf.Transform preprocessing_fn.

        Ids that the model `base` knows stay what they are.
        """

    def fit(self, data: TransformedData, spec: Spec) -> FittedModel:
        """Trains on transformed examples, from `data.base` if it is given; the model has its best weights."""

    def export(
        self, model: keras.Model, transform: tft.TFTransformOutput, spec: Spec, threshold: float | None = None
    ) -> ServedModule:
        """The module to save, with every signature of the served model; `threshold` as `fit` returned it."""

    def objectives(self, spec: Spec) -> dict[str, str]:
        """Metrics of the eval split in every epoch of training: name to the name in the log's history.

        The first is the primary metric.
        """

    def metrics(self, label: np.ndarray, score: np.ndarray, spec: Spec) -> dict[str, float]:
        """Name to value on one split.

        `label` is [rows, 1], or [rows, 0] where the data has none; `score` is [rows, numbers of SCORE].
        """

    def primary_metric(self, spec: Spec) -> str:
        """The metric that decides between two models; `trainer.metrics` says which way is better."""

    def baselines(
        self, train: pa.Table, splits: dict[str, pa.Table], spec: Spec
    ) -> dict[str, dict[str, dict[str, float]]]:
        """Baseline name to split to metrics."""

    def slices(self, train: pa.Table, rows: pa.Table, spec: Spec) -> dict[str, np.ndarray]:
        """Ways to divide evaluated rows: name to the part that each row belongs to, str [rows]."""

    def golden_requests(self, spec: Spec) -> dict[str, dict[str, list]]:
        """Signature name to inputs that the exported model must answer with finite numbers."""

    def contract(self, spec: Spec) -> dict[str, ContractSignature]:
        """Signature name to what clients may rely on; EVALUATED may be left out where it is not for them.

        The serving gate rejects a model that has other signatures.
        """


def family_of(spec: Spec) -> Family:
    """The module of the configured family."""
    return cast(Family, importlib.import_module(MODULES[spec.model.family]))
