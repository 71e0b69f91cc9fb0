from __future__ import annotations

import pytest
from pydantic import ValidationError

from trainer.features import Label


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ({"kind": "score", "range": (0, 5)}, (0.0, 5.0)),
        ({"kind": "score", "range": (-1, 1)}, (-1.0, 1.0)),
        ({"kind": "binary"}, (0.0, 1.0)),
    ],
)
def test_the_bounds_of_a_label(options, bounds):
    assert Label(column="y", **options).bounds == bounds


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "score"}, "needs its range, for example"),
        ({"kind": "score", "range": (5, 0)}, r"range must rise and be finite, got \[5.0, 0.0\]"),
        ({"kind": "score", "range": (1, 1)}, "range must rise"),
        ({"kind": "score", "range": (float("nan"), 1)}, "range must rise"),
        ({"kind": "score", "range": (0, 1, 2)}, "range"),
        ({"kind": "binary", "range": (0, 1)}, "range belongs to kind = 'score', not to 'binary'"),
        ({"kind": "stars"}, "kind"),
        ({"kind": "binary", "column": None}, "column"),
        ({"kind": "binary", "colum": "z"}, "colum"),
        ({"kind": "score", "range": (0, float("inf"))}, "range must rise and be finite"),
    ],
)
def test_an_impossible_label_is_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        Label(**{"column": "y", **options})


def test_a_label_is_frozen_and_survives_json():
    label = Label(column="y", kind="score", range=(0, 5))
    assert Label.model_validate_json(label.model_dump_json()) == label
    with pytest.raises(ValidationError, match="frozen"):
        label.column = "z"  # type: ignore[misc]
