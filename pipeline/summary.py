"""`DIR/summary.json`: all that a script needs to know of a run. docs/operations.md lists the keys."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.atomic_pusher.versions import in_service
from components.champion import PUSHED_DESTINATION
from components.data_gate.config import VERDICT
from components.example_gen.counts import KEPT, QUARANTINE
from pipeline.runners.launch import CACHED, FAILED, Step
from trainer.errors import DataRejected, KembarError

FILE = "summary.json"
TRAINING = "training.json"
PUSHED, UNCHANGED, DATA_REJECTED = "pushed", "unchanged", "data_rejected"
NOT_BLESSED, SERVING_REJECTED, FAILURE = "not_blessed", "serving_rejected", "failed"
# Characters of an error of which all is shown.
_LONGEST = 300
EXIT_CODES = {PUSHED: 0, UNCHANGED: 0, FAILURE: 1, DATA_REJECTED: 3, NOT_BLESSED: 4, SERVING_REJECTED: 4}


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and one sentence why."""

    status: str
    reason: str


def write(workdir: Path, summary: dict[str, Any]) -> None:
    """Replaces the last run's summary in one step."""
    fresh = workdir / (FILE + ".new")
    fresh.write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False))
    fresh.replace(workdir / FILE)


def failure(error: BaseException) -> dict[str, Any]:
    """The keys of a run that failed outside of any component."""
    return failed(f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST]}")


def failed(reason: str) -> dict[str, Any]:
    """The keys of a run of which no more is known than why it failed."""
    return {
        "status": FAILURE,
        "reason": reason,
        "peak_memory_mb": 0,
        "components": [],
        "data": _data({}, {}),
        "metrics": {},
        "baselines": {},
        "interval": {},
        "slices": {},
        "model": _model("", {}),
    }


def show_files(steps: list[Step], root: Path) -> None:
    """Copies what people look for from deep inside the artifacts to the top of the work folder."""
    found = {(step.id, key): Path(artifact.uri) for step in steps for key, artifact in step.outputs.items()}
    for node, key, folder in (("ExampleGen", "examples", QUARANTINE), ("Trainer", "model_run", "pictures")):
        if (node, key) not in found or not (found[node, key] / folder).is_dir():
            continue
        fresh = root / f".{folder}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(found[node, key] / folder, fresh)
        shutil.rmtree(root / folder, ignore_errors=True)
        fresh.rename(root / folder)
    # Of a run that came not so far, the last run's verdict would say nothing.
    (root / VERDICT).unlink(missing_ok=True)
    if ("DataGate", "verdict") in found:
        shutil.copyfile(found["DataGate", "verdict"] / VERDICT, root / VERDICT)
    if ("Trainer", "model_run") in found:
        shutil.copyfile(found["Trainer", "model_run"] / TRAINING, root / TRAINING)


def summarize(steps: list[Step], versions_before: list[int]) -> dict[str, Any]:
    """The summary's keys that come from the steps and their artifacts."""
    outputs = {(step.id, key): artifact for step in steps for key, artifact in step.outputs.items()}
    decision = _json(outputs.get(("QualityGate", "blessing")), "decision.json")
    serving = _json(outputs.get(("ServingGate", "blessing")), "serving.json")
    training = _json(outputs.get(("Trainer", "model_run")), TRAINING)
    pushed = outputs.get(("AtomicPusher", "pushed_model"))
    destination = pushed.custom_properties[PUSHED_DESTINATION].string_value if pushed is not None else ""
    outcome = _outcome(steps, decision, serving, destination, versions_before)
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "components": [
            {"id": s.id, "state": s.state, "seconds": round(s.seconds, 2), "peak_memory_mb": s.peak_memory_mb}
            for s in steps
        ],
        "data": _data(
            _json(outputs.get(("ExampleGen", "examples")), "counts.json"),
            _json(outputs.get(("DataGate", "verdict")), VERDICT),
        ),
        "metrics": _finite(decision.get("metrics", {})),
        "baselines": _finite(_json(outputs.get(("Baselines", "baselines")), "baselines.json")),
        "interval": _finite(decision.get("interval", {})),
        "slices": _finite(_json(outputs.get(("Evaluator", "evaluation")), "slices.json")),
        "model": _model(destination, training),
    }


def _model(destination: str, training: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": int(os.path.basename(destination)) if destination else None,
        "path": destination or None,
        "parameters": training.get("parameters"),
        "examples_per_second": training.get("examples_per_second"),
        "epochs": training.get("epochs"),
    }


def _outcome(
    steps: list[Step], decision: dict, serving: dict, destination: str, before: list[int]
) -> Outcome:
    for step in steps:
        if step.state == FAILED:
            return step_failure(step)
    if not decision["blessed"]:
        return Outcome(NOT_BLESSED, decision["reason"])
    if not serving["blessed"]:
        return Outcome(SERVING_REJECTED, serving["reason"])
    version = os.path.basename(destination)
    served = in_service(Path(destination).parent)
    if served not in (None, int(version)):
        status = UNCHANGED if int(version) in before else PUSHED
        return Outcome(
            status,
            f"version {version} waits: version {served} is pinned: kembar rollback --to latest lifts it",
        )
    if int(version) in before:
        cached = all(step.state == CACHED for step in steps if not step.id.endswith("Resolver"))
        return Outcome(
            UNCHANGED, f"version {version} is in service" + (" and nothing has changed" if cached else "")
        )
    return Outcome(PUSHED, f"version {version}: {decision['reason']}")


def step_failure(step: Step) -> Outcome:
    """What a failed step makes of its run."""
    rejected = isinstance(step.error, DataRejected)
    lines = str(step.error).strip().splitlines() or [type(step.error).__name__]
    said = " ".join(" ".join(lines).split())
    if len(said) > _LONGEST:  # the last line of such an error says what is wrong, the others where
        said = lines[-1].strip()
    said = said.split(" [while running '")[0]  # where in the graph: Beam's business
    reason = said if isinstance(step.error, KembarError) else f"{step.id}: {said}"
    return Outcome(DATA_REJECTED if rejected else FAILURE, reason)


def _data(counts: dict[str, Any], verdict: dict[str, Any]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for source in counts.get("sources", {}).values():
        total.update(source)
    splits = {key.removeprefix(KEPT): n for key, n in total.items() if key.startswith(KEPT)}
    reasons = Counter({key: n for key, n in total.items() if key != "read" and not key.startswith(KEPT)})
    return {
        "rows_read": total["read"],
        "rows_kept": sum(splits.values()),
        "rows_quarantined": reasons.total(),
        "quarantine_reasons": dict(reasons.most_common()),
        "splits": dict(sorted(splits.items())),
        "shared_texts": counts.get("shared_texts", {}),
        "warnings": verdict.get("warnings", []),
    }


def _finite(value: Any) -> Any:
    """JSON knows no NaN: a metric that is not defined is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and value != value else value


def _json(artifact: mlmd.Artifact | None, name: str) -> dict[str, Any]:
    path = Path(artifact.uri, name) if artifact is not None else None
    return json.loads(path.read_text()) if path is not None and path.is_file() else {}
