"""Three spans through `kembar run`: good data, drifted data, and good data again."""

from __future__ import annotations

import json

import pytest

# What is compared, and when it is too much, is in tests/components/test_data_gate.py.
pytestmark = [pytest.mark.e2e, pytest.mark.slow]

QUICK = ("--set", "training.epochs=1", "--set", "gates.floors={}")
CIPHER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")


def span(project, pairs, name, first, change=lambda text: text):
    """300 pairs of each split, every other one from `first` on; the settings that name their files."""
    settings = []
    for split in ("train", "eval", "test"):
        rows = pairs[split][first:600:2]
        path = project.write(f"{name}_{split}", [[score, change(a), change(b)] for score, a, b in rows])
        settings += ["--set", f"data.{split}={path}"]
    return settings


def verdict(project):
    return json.loads((project.workdir / "verdict.json").read_text())


def test_a_span_is_compared_with_the_last_accepted_one(project, pairs):
    good = span(project, pairs, "good", 0)
    ran = project.kembar("run", *QUICK, *good)
    assert ran.status == 0, ran.err
    assert verdict(project)["notes"] == ["drift: no data was accepted before, nothing to compare with"]
    [accepted] = (project.workdir / "artifacts" / "DataGate" / "verdict").iterdir()

    drifted = span(project, pairs, "drifted", 0, lambda text: text.lower().translate(CIPHER))
    ran = project.kembar("run", *QUICK, *drifted)
    assert ran.status == 3
    assert project.summary["status"] == "data_rejected"
    reason = project.summary["reason"]
    assert reason.startswith("the data has changed: ")
    assert any(f"{split}, feature 'text_" in reason for split in ("train", "eval", "test"))
    assert "out_of_vocabulary 0." in reason
    assert "with --set validation.drift=warn" in reason
    assert not (project.workdir / "verdict.json").exists()

    # The rejected data left nothing to compare with.
    other = span(project, pairs, "other", 1)
    ran = project.kembar("run", *QUICK, *other, "--set", "gates.champion_margin=-3.0")
    assert ran.status == 0, ran.err
    found = verdict(project)
    assert found["compared_with"] == {"drift": str(accepted)}
    assert {check["split"] for check in found["checks"] if check["subject"] == "drift"} == {
        "train", "eval", "test",
    }  # fmt: skip
    assert project.summary["data"]["warnings"] == found["warnings"]
    assert "Data compared" in (project.workdir / "report.html").read_text()
