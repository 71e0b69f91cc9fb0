from __future__ import annotations

import numpy as np

from trainer.pair.slices import pair_slices


def texts(a: list[str], b: list[str]) -> dict[str, np.ndarray]:
    return {"text_a": np.array(a, object), "text_b": np.array(b, object)}


TRAIN = texts(["the red fox", "the old hen"], ["a fox", "a hen"])


def test_parts_by_hand():
    rows = texts(
        ["The red fox!", "the fox sees a hen", "owl", "", "fox " * 30],
        ["the RED fox", "a hen", "cow", "", "hen"],
    )
    found = pair_slices(TRAIN, rows)
    assert list(found["length"]) == ["1: up to 10 words"] * 4 + ["3: 21 to 50"]
    # All three words; "a" and "hen" of five; none; no word at all; none of two.
    assert list(found["overlap"]) == ["4: more", "2: up to 40 %"] + ["1: up to 10 %"] * 3
    # "sees" is one of five, "owl" and "cow" are both unknown.
    assert list(found["unknown"]) == ["1: none", "3: more", "3: more", "1: none", "1: none"]


def test_scripts_without_spaces_are_counted_by_character():
    found = pair_slices(TRAIN, texts(["一二三四五六七八九十一二"], ["ひと"]))
    assert list(found["length"]) == ["2: 11 to 20"]


def test_no_rows_have_no_parts():
    assert all(len(values) == 0 for values in pair_slices(TRAIN, texts([], [])).values())
