"""Which artifacts a window holds, and how much of each is read."""

from __future__ import annotations

import json

import pytest
from tfx.types import artifact_utils, standard_artifacts

from components.data_gate.validation_config import EXAMPLES_ID
from components.data_gate.verdict import DataVerdict
from components.example_gen.spans import FILES
from components.resolvers.window import EXAMPLES_IDS, CacheStrategy, WindowStrategy, ids_of
from components.tfrecords import spread
from components.transform.component import CACHED_BYTES, reading_of


def examples(folder, number, span, files="f", size=0):
    found = standard_artifacts.Examples()
    found.id = number
    found.uri = str(folder / f"{number}")
    found.span = span
    found.split_names = artifact_utils.encode_split_names(["train", "eval"])
    found.set_string_custom_property(FILES, files)
    (folder / f"{number}" / "Split-train").mkdir(parents=True)
    (folder / f"{number}" / "Split-train" / "data.gz").write_bytes(b"x" * size)
    return found


def verdict(number, on):
    found = DataVerdict()
    found.id = number
    found.set_int_custom_property(EXAMPLES_ID, on)
    return found


def cache(folder, number, ids):
    found = standard_artifacts.TransformCache()
    found.id = number
    found.uri = str(folder / f"cache{number}")
    found.set_string_custom_property(EXAMPLES_IDS, ids)
    (folder / f"cache{number}").mkdir()
    (folder / f"cache{number}" / "entry").touch()
    return found


def resolve(window, found, verdicts):
    strategy = WindowStrategy(json.dumps(window))
    kept = strategy.resolve_artifacts(None, {"examples": found, "verdicts": verdicts})
    return [artifact.id for artifact in kept["examples"]]


def test_accepted_examples_of_the_windows_spans_in_their_order(tmp_path):
    found = [examples(tmp_path, number, span) for number, span in ((1, 7), (2, 5), (3, 6), (4, 8))]
    verdicts = [verdict(10 + at, at) for at in (1, 2, 4)]
    assert resolve({5: "f", 6: "f", 7: "f"}, found, verdicts) == [2, 1]


def test_of_examples_made_twice_those_accepted_last(tmp_path):
    found = [examples(tmp_path, 1, 7), examples(tmp_path, 2, 7), examples(tmp_path, 3, 7, "other")]
    assert resolve({7: "f"}, found, [verdict(11, 2), verdict(12, 1), verdict(13, 3)]) == [1]


def test_examples_that_are_gone_and_other_artifacts_are_left_out(tmp_path):
    gone, transformed = examples(tmp_path, 1, 7), examples(tmp_path, 2, 7, "")
    gone.uri = str(tmp_path / "nowhere")
    assert resolve({7: "f"}, [gone, transformed], [verdict(11, 1), verdict(12, 2)]) == []


def test_a_cache_of_these_very_examples_is_passed_over_while_it_is_the_last(tmp_path):
    both = [examples(tmp_path, 1, 7), examples(tmp_path, 2, 8)]
    mine, other = ids_of(both), ids_of(both[:1])
    assert mine == "1,2"
    caches = [cache(tmp_path, number, ids) for number, ids in ((1, other), (2, mine), (3, mine))]
    kept = CacheStrategy().resolve_artifacts(None, {"cache": caches, "examples": both})
    assert [artifact.id for artifact in kept["cache"]] == [1]
    caches.append(cache(tmp_path, 4, other))
    kept = CacheStrategy().resolve_artifacts(None, {"cache": caches, "examples": both})
    assert [artifact.id for artifact in kept["cache"]] == [4]


def test_small_spans_are_read_as_one_and_large_ones_alone(tmp_path):
    small = [examples(tmp_path, number, number, size=1_000) for number in (1, 2)]
    assert reading_of(small, None, False)[0]
    large = [examples(tmp_path, number, number, size=CACHED_BYTES) for number in (3, 4)]
    assert not reading_of(large, None, False)[0]
    assert reading_of(large, 7.0, False)[0]


def test_older_spans_count_less(tmp_path):
    found = [examples(tmp_path, number, span) for number, span in ((1, 3), (2, 10), (3, 17))]
    _, shares = reading_of(found, 7.0, False)
    assert shares == {f"{tmp_path}/1/Split-train": 0.25, f"{tmp_path}/2/Split-train": 0.5}


@pytest.mark.parametrize("batches", [[100], [1] * 100, [37, 63]])
def test_a_share_is_spread_evenly_however_records_are_batched(batches):
    records = [str(number).encode() for number in range(100)]
    kept, before = [], 0
    for size in batches:
        kept += spread(records[before : before + size], before, 0.25)
        before += size
    assert [int(record) for record in kept] == list(range(3, 100, 4))
