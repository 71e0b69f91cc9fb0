"""Which values are kept, and what becomes of them in the step that would have searched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.utils import json_utils

from components.nodes import TUNING_FILE
from components.resolvers.tuned_values import FINGERPRINT, ORIGIN, PURPOSE, KeptStrategy
from components.resolvers.window import EXAMPLES_IDS
from components.tuner.component import Executor, search_fingerprint

FILE = "best_hyperparameters.txt"
CONFIG = {"purpose": "p", "spec": "{}", "tuning": "{}", "code": "c0de"}


def hyperparameters(number, examples, origin=0, purpose="p", told="now"):
    artifact = standard_artifacts.HyperParameters()
    artifact.id = number
    artifact.set_string_custom_property(PURPOSE, purpose)
    artifact.set_string_custom_property(FINGERPRINT, told)
    artifact.set_string_custom_property(EXAMPLES_IDS, str(examples))
    if origin:
        artifact.set_int_custom_property(ORIGIN, origin)
    return artifact


def examples(number):
    artifact = standard_artifacts.Examples()
    artifact.id = number
    return artifact


SEARCH = hyperparameters(1, examples=10)
COPY = hyperparameters(2, examples=20, origin=1)


@pytest.mark.parametrize(
    ("known", "on", "kept"),
    [
        ([], 10, []),  # nothing was searched for yet
        ([SEARCH], 10, []),  # the same again: as it was the first time, so that the cache holds
        ([SEARCH], 20, [1]),  # other data
        ([SEARCH, COPY], 20, [1]),  # the same again, where the first time values were kept
        ([SEARCH, COPY], 30, [1]),  # not the copy, which leads to the data of its own run
        ([SEARCH, COPY], 10, []),  # back to the data of the search
        ([COPY], 30, [2]),  # the search's own artifact was removed
        ([COPY], 20, [2]),
        ([hyperparameters(1, 10, purpose="other")], 20, []),
        ([SEARCH, hyperparameters(2, 10, purpose="other")], 20, [1]),
        ([hyperparameters(1, 10, told="before")], 10, [1]),  # another seed of the training, say
        ([SEARCH, hyperparameters(2, 20)], 30, [2]),  # searched twice: the later one
    ],
)
def test_which_values_are_kept(known, on, kept):
    found = KeptStrategy(purpose="p", fingerprint="now").resolve_artifacts(
        None, {"kept": known, "examples": [examples(on)]}
    )
    assert [artifact.id for artifact in found["kept"]] == kept
    assert [artifact.id for artifact in found["examples"]] == [on]


def test_without_the_cache_values_are_kept_on_the_same_data_too():
    found = KeptStrategy(purpose="p", fingerprint="").resolve_artifacts(
        None, {"kept": [SEARCH], "examples": [examples(10)]}
    )
    assert [artifact.id for artifact in found["kept"]] == [1]


@pytest.mark.parametrize("origin", [0, 7])
def test_kept_values_are_copied_and_nothing_is_searched(tmp_path, origin):
    kept = hyperparameters(9, examples=10, origin=origin)
    kept.uri = str(tmp_path / "kept")
    values = {"training.learning_rate": 0.5, "model.hidden": "[7, 3]"}
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / FILE).write_text(json.dumps({"space": [], "values": values}))
    best, results = standard_artifacts.HyperParameters(), standard_artifacts.TunerResults()
    best.uri, results.uri = str(tmp_path / "best"), str(tmp_path / "results")
    Executor().Do(
        {"examples": [examples(20)], "kept": [kept]},
        {"best_hyperparameters": [best], "tuner_results": [results]},
        {"custom_config": json_utils.dumps(CONFIG)},
    )
    # TFX's Trainer reads the only file that there is.
    [file] = Path(best.uri).iterdir()
    assert json.loads(file.read_text())["values"] == values
    report = json.loads(Path(results.uri, TUNING_FILE).read_text())
    assert report["best"] == {"values": {"training.learning_rate": 0.5, "model.hidden": [7, 3]}}
    assert (report["kept"], report["from"]) == (True, kept.uri)
    assert best.get_int_custom_property(ORIGIN) == (origin or 9)
    assert best.get_string_custom_property(EXAMPLES_IDS) == "20"
    assert best.get_string_custom_property(PURPOSE) == "p"
    assert best.get_string_custom_property(FINGERPRINT) == search_fingerprint(CONFIG)
