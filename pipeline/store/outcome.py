"""How a run ended: `DIR/summary.json` and its status. docs/operations.md lists the keys."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.bulk_inferrer.bulk_config import KEPT_ROWS
from components.example_gen.batch import KEPT, READ
from trainer.files import replace_file

FILE = "summary.json"
PUSHED, UNCHANGED, DATA_REJECTED = "pushed", "unchanged", "data_rejected"
NOT_BLESSED, SERVING_REJECTED, FAILURE = "not_blessed", "serving_rejected", "failed"
# Its exit code is 128 and the signal's number.
INTERRUPTED = "interrupted"
# Characters of an error of which all is shown.
LONGEST = 300
EXIT_CODES = {PUSHED: 0, UNCHANGED: 0, FAILURE: 1, DATA_REJECTED: 3, NOT_BLESSED: 4, SERVING_REJECTED: 4}


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and one sentence why."""

    status: str
    reason: str


@dataclass(frozen=True)
class RunStart:
    """The start of a run: of which pipeline, under which id, and when in Unix time."""

    pipeline: str
    run_id: str
    clock: float = field(default_factory=time.time)

    @classmethod
    def now(cls, pipeline: str) -> RunStart:
        """Return the start of a run that is named by its time."""
        clock = time.time()
        return cls(pipeline, f"{datetime.fromtimestamp(clock, UTC):%Y%m%dT%H%M%S.%fZ}", clock)

    def summary(self, outcome: dict[str, Any]) -> dict[str, Any]:
        """Return the summary of a run that ends now with `outcome`."""
        return {
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "started": datetime.fromtimestamp(self.clock, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self.clock, 2),
            **outcome,
        }


def write(workdir: Path, summary: dict[str, Any]) -> None:
    """Replaces the last run's summary in one step."""
    replace_file(workdir / FILE, json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False))


def failure(error: BaseException) -> dict[str, Any]:
    """The keys of a run that failed outside of any component."""
    return without_steps(FAILURE, f"{type(error).__name__}: {' '.join(str(error).split())[:LONGEST]}")


def without_steps(status: str, reason: str) -> dict[str, Any]:
    """The keys of a run of which no more is known than how it ended and why."""
    return {
        "status": status,
        "reason": reason,
        "peak_memory_mb": 0,
        "components": [],
        "data": data_facts({}, {}),
        "metrics": {},
        "baselines": {},
        "interval": {},
        "slices": {},
        "undefined": {},
        "model": model_facts("", {}),
    }


def grouped(reasons: dict[str, dict[str, str]]) -> list[tuple[str, str, list[str]]]:
    """Split, reason and metrics, from split to metric to the reason why it is not defined."""
    names_of: dict[tuple[str, str], list[str]] = {}
    for split, by_name in reasons.items():
        for name, reason in by_name.items():
            names_of.setdefault((split, reason), []).append(name)
    return [(split, reason, sorted(names)) for (split, reason), names in names_of.items()]


def model_facts(destination: str, training: dict[str, Any]) -> dict[str, Any]:
    """Key `model`: where the served version is, and what its training's log says."""
    return {
        "version": int(os.path.basename(destination)) if destination else None,
        "path": destination or None,
        "parameters": training.get("parameters"),
        "examples_per_second": training.get("examples_per_second"),
        "epochs": training.get("epochs"),
        "tuned": training.get("details", {}).get("tuned"),
    }


def data_facts(
    counts: dict[str, Any], verdict: dict[str, Any], training: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Key `data`: counts of rows, and what the data gate and the training warned of."""
    learned = (training or {}).get("details", {}).get("warnings", [])
    total: Counter[str] = Counter()
    for source in counts.get("sources", {}).values():
        total.update(source)
    splits = {key.removeprefix(KEPT): n for key, n in total.items() if key.startswith(KEPT)}
    reasons = Counter({key: n for key, n in total.items() if key != READ and not key.startswith(KEPT)})
    return {
        "rows_read": total[READ],
        "rows_kept": sum(splits.values()),
        "rows_quarantined": reasons.total(),
        "quarantine_reasons": dict(reasons.most_common()),
        "splits": dict(sorted(splits.items())),
        "shared_texts": counts.get("shared_texts", {}),
        "dialect": counts.get("dialects", {}),
        "remarks": counts.get("remarks", []),
        "warnings": [*counts.get("warnings", []), *verdict.get("warnings", []), *learned],
    }


def bulk_facts(counts: dict[str, int], path: Path | None) -> dict[str, Any]:
    """Key `bulk`: what became of the rows without a label, and where the answers are, if anywhere."""
    reasons = Counter(counts)
    kept, read = reasons.pop(KEPT_ROWS), reasons.pop(READ)
    return {
        "rows_read": read,
        "rows_scored": 0 if path is None else kept,
        "rows_quarantined": read - kept,
        "quarantine_reasons": dict(reasons.most_common()),
        "path": None if path is None else str(path),
    }
