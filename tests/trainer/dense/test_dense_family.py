"""The dense classifier's baselines: columns of any scale, and labels that are all the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from trainer.dense import family
from trainer.dense.dense_config import Dense, DenseTraining
from trainer.errors import DataRejected
from trainer.features import LABEL, VECTOR, Label
from trainer.spec import Spec, VectorSpec

# Of scikit-learn's logistic regression with this SciPy.
pytestmark = pytest.mark.filterwarnings("ignore:scipy.optimize.*disp:DeprecationWarning")
SPEC = Spec(
    label=Label(column="kind", kind="classes", classes=("no", "yes")),
    vector=VectorSpec(dimension=3),
    model=Dense(),
    training=DenseTraining(),
)
SCALES = np.array([1e-30, 1e30, 1.0])


def table(labels: np.ndarray) -> pa.Table:
    """Vectors whose first and second column tell the label."""
    vectors = np.random.default_rng(3).normal(size=(len(labels), 3))
    vectors[:, :2] += 4 * labels[:, np.newaxis]
    rows = list((vectors * SCALES).astype(np.float32))
    return pa.table(
        {
            VECTOR: pa.array(rows, pa.list_(pa.float32())),
            LABEL: pa.array([[int(one)] for one in labels], pa.list_(pa.int64())),
        }
    )


def test_columns_of_any_scale_are_standardized():
    train, test = (table(np.arange(rows) % 2) for rows in (200, 100))
    found = family.baselines(train, {"test": test}, SPEC)
    assert found["logistic_regression"]["test"]["accuracy"] > 0.95
    assert found["majority"]["test"]["accuracy"] == 0.5


def test_training_labels_that_are_all_the_same_are_refused_before_anything_is_fitted():
    with pytest.raises(DataRejected, match="column 'kind' is 'yes' in all 50 training rows"):
        family.baselines(table(np.ones(50)), {"test": table(np.arange(10) % 2)}, SPEC)


def test_an_eval_split_without_a_class_has_its_metrics():
    found = family.baselines(table(np.arange(100) % 2), {"eval": table(np.ones(20))}, SPEC)
    assert all(np.isfinite(value) for one in found.values() for value in one["eval"].values())
