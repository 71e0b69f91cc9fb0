"""What a user may get wrong: one line of error with the fix, an exit code, nothing left half-written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

# `kembar`, saying at its end what of the heavy libraries it has loaded.
PROGRAM = """
import os, sys
from pipeline.__main__ import main
leave = os._exit
def tell(status):
    print(sorted({"tfx", "tensorflow", "apache_beam"} & set(sys.modules)), flush=True)
    leave(status)
os._exit = tell
main()
"""
HEADER = ["score", "sentence1", "sentence2"]


@pytest.fixture(scope="module")
def small(project, pairs):
    """A project of 60 good rows a split."""
    for split in ("train", "eval", "test"):
        project.write(split, pairs[split][:60])
    return project


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (None, (), "[data] eval = '{eval}': no such file: correct the path"),
        (
            "score,sentence1,sentence3\n1,a,b\n",
            (),
            "[data] eval: {eval}: no column 'sentence2': set [data] text_b to one of score, sentence1, "
            "sentence3, or header = false with columns",
        ),
        ("", (), "[data] eval: {eval}: the file is empty: give [data] a file with a header and rows"),
        (
            "score,sentence1,sentence2\r\n",
            (),
            "[data] eval: {eval}: the file holds no row: give [data] a file with rows",
        ),
        (
            "score,sentence1,sentence2\n1,a,b\n",
            ("--set", "training.epoch=3"),
            "unknown key [training] epoch: did you mean 'epochs'?",
        ),
    ],
    ids=["missing file", "missing column", "empty file", "only a header", "unknown key"],
)
def test_a_wrong_configuration_ends_before_anything_starts(small, tmp_path, content, settings, message):
    path = tmp_path / "eval.csv"
    if content is not None:
        path.write_text(content, newline="")
    command = [
        *small.command("run")[1:],
        "--workdir",
        str(tmp_path / "work"),
        "--set",
        f"data.eval={path}",
        *settings,
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], capture_output=True, text=True, cwd=small.root, timeout=60
    )
    assert done.stderr == f"kembar: error: {small.config}: {message.format(eval=path)}\n"
    assert done.returncode == 2
    assert done.stdout == "[]\n"
    assert not (tmp_path / "work").exists()


def check_whole(workdir: Path) -> None:
    """Asserts that nothing in the folder is half-written."""
    assert {path.name for path in workdir.iterdir()} <= {
        "artifacts", "lock", "metadata.sqlite", "metadata.sqlite.backup", "quarantine", "report.html",
        "run.log", "summary.json",
    }  # fmt: skip
    with sqlite3.connect(workdir / "metadata.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    names = [name for _, folders, files in os.walk(workdir) for name in (*folders, *files)]
    assert not [name for name in names if "incoming" in name or name.endswith((".new", ".tmp"))]


def states(summary) -> dict[str, str]:
    return {component["id"]: component["state"] for component in summary["components"]}


@pytest.fixture(scope="module")
def only_bad_rows(small):
    """A run whose training rows are all bad."""
    path = small.write("bad", [["", "a", "b"], ["1", "", "b"], ["9", "a", "b"], ["8", "a", "b"]])
    ran = small.kembar("run", "--set", f"data.train={path}")
    return path, ran, small.summary


def test_a_pattern_that_no_file_fits_is_an_error_and_not_a_quiet_day(small):
    kept = small.config.read_text()
    files = "".join(f'{split} = "{split}.csv"\n' for split in ("train", "eval", "test"))
    small.config.write_text(kept.replace(files, 'pattern = "days/{SPAN}.csv"\n'))
    ran = small.kembar("retrain")
    small.config.write_text(kept)
    pattern = str(small.root / "days" / "{SPAN}.csv")
    line = f"{small.config}: [data] pattern = {pattern!r}: no file fits it: correct it"
    assert (ran.status, ran.err.splitlines()[-1]) == (2, f"kembar: error: {line}")
    assert (small.summary["status"], small.summary["reason"]) == ("failed", line)


def test_a_file_of_only_bad_rows_is_rejected(small, only_bad_rows):
    path, ran, summary = only_bad_rows
    assert ran.status == 3
    assert summary["status"] == "data_rejected"
    assert summary["reason"] == (
        f"{path}: 4 of 4 rows cannot be used, [data] max_quarantined = 0.05 allows 0: "
        "label out of range (2), bad label (1), empty text (1); for example "
        "bad.csv line 4: label out of range, column 'score': '9' is not within 0..5; "
        "bad.csv line 2: bad label, column 'score': '' is no number; "
        "bad.csv line 3: empty text, column 'sentence1'; labels seen: no value 1 time, numbers from 8 to 9: "
        'set label = { column = "score", kind = "score", range = [0, 9] }'
    )
    assert ran.out == f"twins: data_rejected: {summary['reason']} ({summary['seconds']:.0f} s)\n"
    assert "Traceback" not in ran.err
    assert set(states(summary).values()) <= {"ran", "failed", "skipped"}
    assert [name for name, state in states(summary).items() if state == "failed"] == ["RowGate"]
    assert summary["model"]["version"] is None
    check_whole(small.workdir)


def test_the_rows_of_a_rejected_file_can_be_looked_at(small, only_bad_rows):
    _, _, summary = only_bad_rows
    assert summary["data"]["rows_quarantined"] >= 4
    assert summary["data"]["quarantine_reasons"]["label out of range"] == 2
    [quarantine] = small.workdir.glob("quarantine/train*.jsonl")
    assert len(quarantine.read_text().splitlines()) == 4


def test_more_labels_out_of_range_than_allowed_are_rejected(small, pairs):
    rows = pairs["test"][:60]
    path = small.write("strange", [*rows, *(["5.5", a, b] for _, a, b in rows[:4])])
    ran = small.kembar("run", "--set", f"data.test={path}")
    assert ran.status == 3
    assert small.summary["status"] == "data_rejected"
    assert small.summary["reason"] == (
        f"{path}: 4 of 64 rows cannot be used, [data] max_quarantined = 0.05 allows 3: "
        "label out of range (4); for example strange.csv line 62: label out of range, "
        "column 'score': '5.5' is not within 0..5; labels seen: numbers from 5.5 to 5.5: "
        'set label = { column = "score", kind = "score", range = [0, 5.5] }'
    )
    check_whole(small.workdir)


def test_an_anomaly_against_the_schema_is_rejected(small):
    schema = small.root / "narrow.pbtxt"
    schema.write_text("""
        feature { name: "text_a" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
        feature { name: "text_b" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
        feature { name: "label" type: FLOAT presence { min_fraction: 1.0 } shape { dim { size: 1 } }
                  float_domain { min: 0.0 max: 4.0 } }
    """)
    ran = small.kembar("run", "--set", f"data.schema_file={schema}")
    summary = small.summary
    assert ran.status == 3
    assert summary["status"] == "data_rejected"
    assert summary["reason"].startswith("the data does not fit its schema: ")
    for split in ("train", "eval", "test"):
        assert (
            f"{split}, feature 'label': Out-of-range values: Unexpectedly high value: 5" in summary["reason"]
        )
    assert summary["reason"].endswith(": mend the data, or the schema if it is out of date")
    assert states(summary)["ExampleValidator"] == "ran"
    assert states(summary)["DataGate"] == "failed"
    assert states(summary)["Trainer"] == "skipped"
    assert summary["data"]["splits"] == {"eval": 60, "test": 60, "train": 60}
    check_whole(small.workdir)
