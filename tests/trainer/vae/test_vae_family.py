from __future__ import annotations

import pytest
import tensorflow as tf

from tests.trainer.small_trainings import data_of, spec_of
from trainer.vae import family
from trainer.vae.signatures import score


@pytest.mark.parametrize("binarization", ["none", "dynamic", "fixed"])
def test_the_threshold_is_the_quantile_of_eval_vectors_as_they_are_scored(tmp_path, binarization):
    spec = spec_of("vae")
    changes = {"binarization": binarization, "anomaly_quantile": 0.8}
    spec = spec.model_copy(update={"model": spec.model.model_copy(update=changes)})
    data = data_of("vae", tmp_path, rows=100)
    model, log = family.fit(data, spec)
    (rows,) = [pool["vector"] for pool in data.pools("eval", 100)]
    flagged = score(model, tf.constant(rows), log.details["anomaly_threshold"])["anomaly"].numpy()
    assert flagged.mean() == pytest.approx(0.2, abs=0.01)
