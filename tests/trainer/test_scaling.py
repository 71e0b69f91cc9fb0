from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from trainer.features import VECTOR
from trainer.scaling import Scaling, to_standard

MEANS = np.array([0.5, 1e5, 1e5, 5e6, -5e6, 5e8, 1e8, 1e9, 1e-6, 3.0])
DEVIATIONS = np.array([1.0, 1e3, 0.5, 2e6, 10.0, 2e8, 1e3, 1e6, 1e-7, 0.0])


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    """Rows of columns that lie far from 0, close together or wide apart; one never changes: [200, 10]."""
    noise = np.random.default_rng(1).normal(size=(200, len(MEANS)))
    return (MEANS + DEVIATIONS * noise).astype(np.float32)


@pytest.fixture(scope="module")
def standardized(raw, tmp_path_factory) -> Scaling:
    """The scaling that a real transform learned from `raw`."""
    folder = tmp_path_factory.mktemp("transform")
    spec = {VECTOR: tf.io.FixedLenFeature([raw.shape[1]], tf.float32)}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    with tft_beam.Context(temp_dir=str(folder / "temp")):
        rows = [{VECTOR: row} for row in raw]
        learned = (rows, metadata) | tft_beam.AnalyzeDataset(lambda x: {VECTOR: to_standard(x[VECTOR])})
        _ = learned | tft_beam.WriteTransformFn(str(folder / "out"))
    return Scaling(tft.TFTransformOutput(str(folder / "out")), raw.shape[1])


def test_what_was_standardized_comes_back_whatever_its_mean_and_deviation(standardized, raw):
    scaled = standardized.forward(tf.constant(raw))
    np.testing.assert_allclose(scaled.numpy()[:, :-1].std(axis=0), 1, rtol=0.01)
    back = standardized.inverse(scaled).numpy()
    # As near as float32 can say it: its own last digit, and that of the scaled value.
    allowed = np.spacing(np.abs(raw)) + 1e-6 * DEVIATIONS
    assert (np.abs(back - raw) <= allowed).all(), (np.abs(back - raw) / allowed).max(axis=0)


def test_zero_is_the_mean_and_one_a_deviation_more(standardized, raw):
    ends = standardized.inverse(tf.constant([[0.0] * len(MEANS), [1.0] * len(MEANS)])).numpy()
    mean, deviation = raw.mean(axis=0, dtype=np.float64), raw.std(axis=0, dtype=np.float64)
    assert (np.abs(ends[0] - mean) <= np.spacing(np.abs(raw[0])) + 0.01 * deviation).all()
    # What never changed is passed on less its mean.
    deviation[-1] = 1
    np.testing.assert_allclose(ends[1] - ends[0], deviation, rtol=0.02)
