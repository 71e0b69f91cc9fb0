from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from trainer.features import VECTOR
from trainer.scaling import Scaling, to_standard, to_unit

MEANS = np.array([0.5, 1e5, 1e5, 5e6, -5e6, 5e8, 1e8, 1e9, 1e-6, 0.0, 1e30, 2e-30, 1.7e12, -1e36, 3.0])
DEVIATIONS = np.array([1.0, 1e3, 0.5, 2e6, 10.0, 2e8, 1e3, 1e6, 1e-7, 1e-30, 1e30, 1e-30, 1e6, 1e35, 0.0])


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    """Rows [200, 15] of columns that lie far from 0, close together or wide apart, or whose squares are no
    float32; the last never changes.
    """
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


def test_it_is_what_numpy_has_in_float64(standardized, raw):
    mean, deviation = raw.mean(axis=0, dtype=np.float64), raw.std(axis=0, dtype=np.float64)
    expected = ((raw - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    np.testing.assert_allclose(standardized.forward(tf.constant(raw)).numpy(), expected, rtol=1e-6, atol=1e-6)
    width = np.where(deviation > 0, deviation, 1)
    assert standardized.log_jacobian == pytest.approx(np.log(width).sum(), rel=1e-6)


def test_zero_is_the_mean_and_one_a_deviation_more(standardized, raw):
    ends = standardized.inverse(tf.constant([[0.0] * len(MEANS), [1.0] * len(MEANS)])).numpy()
    mean, deviation = raw.mean(axis=0, dtype=np.float64), raw.std(axis=0, dtype=np.float64)
    assert (np.abs(ends[0] - mean) <= np.spacing(np.abs(raw[0])) + 0.01 * deviation).all()
    # What never changed is passed on less its mean.
    deviation[-1] = 1
    np.testing.assert_allclose(ends[1] - ends[0], deviation, rtol=0.02)


RANGES = [
    (-3e38, 3e38),
    (1e-30, 3e-30),
    (36.1, 42.3),
    (0, 16),
    (0.0, 255.0),
    (1e6, 2e6),
    (1_000.1, 1_001.3),
    (-0.3, 0.7),
    (1e9, 1.1e9),
]


class Transform:
    """Stands for a TFTransformOutput that scales by a range, in a graph as it is when served."""

    def __init__(self, declared: tuple[float, float]) -> None:
        self.layer = tf.function(lambda x: {VECTOR: to_unit(x[VECTOR], declared)}, reduce_retracing=True)

    def transform_features_layer(self):
        return self.layer


@pytest.mark.parametrize("declared", RANGES)
def test_a_value_at_a_limit_is_within(declared):
    for scaled in (
        to_unit(tf.constant([declared], tf.float32), declared).numpy(),
        Scaling(Transform(declared), 2).forward(tf.constant([declared], tf.float32)).numpy(),
    ):
        np.testing.assert_array_equal(scaled, [[0, 1]])


def test_a_last_digit_outside_is_taken_for_rounding():
    beyond = np.nextafter(np.float32(1), np.float32(2))
    scaled = to_unit(tf.constant([[beyond, -1e-7, 1.00001, -1e-5]]), (0, 1)).numpy()
    np.testing.assert_array_equal(scaled, np.array([[1, 0, 1.00001, -1e-5]], np.float32))


@pytest.mark.parametrize("declared", RANGES)
def test_a_value_outside_stays_outside(declared):
    low, high = declared
    some = 1e-3 * (high - low)
    scaled = to_unit(tf.constant([[low - some, high + some]], tf.float32), declared).numpy()[0]
    assert scaled[0] < 0
    assert scaled[1] > 1


@pytest.mark.parametrize("declared", RANGES)
def test_what_was_scaled_by_a_range_comes_back(declared):
    raw = np.linspace(*declared, 100, dtype=np.float32)[:, np.newaxis]  # type: ignore[call-overload]
    scaling = Scaling(Transform(declared), 1)
    back = scaling.inverse(scaling.forward(tf.constant(raw))).numpy()
    allowed = np.spacing(np.abs(raw)) + 1e-6 * (declared[1] - declared[0])
    assert (np.abs(back - raw) <= allowed).all()
