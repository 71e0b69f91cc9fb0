"""The result of a run's steps: the keys of summary.json, and the files that people look for."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.bulk_inferrer.bulk_config import RESULT
from components.champion import PUSHED_DESTINATION
from components.nodes import (
    BASELINES,
    BASELINES_FILE,
    BULK_EXAMPLE_GEN,
    BULK_INFERRER,
    BULK_QUARANTINE,
    CONFUSION_FILE,
    COUNTS_FILE,
    DATA_GATE,
    DECISION_FILE,
    EVALUATOR,
    EXAMPLE_GEN,
    PREDICTIONS_FILE,
    PUSHER,
    QUALITY_GATE,
    QUARANTINE,
    RETRAINING_GATE,
    SERVING_FILE,
    SERVING_GATE,
    SLICES_FILE,
    TRAINER,
    TUNER,
    TUNING_FILE,
    VERDICT_FILE,
)  # fmt: skip
from components.version_folder.pins import read_pins
from components.version_folder.push import in_service
from pipeline.graph.step_result import CACHED, FAILED, StepResult
from pipeline.store.outcome import (
    DATA_REJECTED,
    FAILURE,
    LONGEST,
    NOT_BLESSED,
    PUSHED,
    SERVING_REJECTED,
    UNCHANGED,
    Outcome,
    bulk_facts,
    data_facts,
    model_facts,
)
from trainer.errors import DataRejected, KembarError
from trainer.files import TRAINING_LOG, is_folder, remove_folder, replacing
from trainer.undefined import reasons, values

# What runs put into the folders that people look at.
_OURS = re.compile(r"(.+-\d{5}-of-\d{5}|rows)\.jsonl|.+\.(png|svg)")


def decision_of(steps: Sequence[StepResult]) -> dict[str, Any]:
    """Return the retraining gate's decision, as its file has it; an empty one where the gate has not run."""
    for step in steps:
        if step.id == RETRAINING_GATE and "decision" in step.outputs:
            return _json(step.outputs["decision"], DECISION_FILE)
    return {}


def declines_training(step: StepResult) -> bool:
    """True where this step decided that nothing is to be trained, and the steps behind it are left out."""
    return not decision_of([step]).get("train", True)


def show_files(steps: list[StepResult], root: Path) -> None:
    """Copies what people look for from deep inside the artifacts to the top of the work folder.

    Of a run that came not so far, what the last run left would say nothing, and goes.
    """
    folder_of = {
        (step.id, key): Path(artifact.uri) for step in steps for key, artifact in step.outputs.items()
    }
    for node, key, folder in (
        (EXAMPLE_GEN, "examples", QUARANTINE),
        (TRAINER, "model_run", "pictures"),
        (BULK_EXAMPLE_GEN, "examples", BULK_QUARANTINE),
    ):
        if node == TRAINER and (node, key) not in folder_of:
            continue  # those of the last training stay
        source = folder_of.get((node, key))
        show_folder(None if source is None else source / folder, root, folder)
    for source, name, shown in (
        (folder_of.get((DATA_GATE, "verdict")), VERDICT_FILE, VERDICT_FILE),
        (folder_of.get((EVALUATOR, "evaluation")), CONFUSION_FILE, CONFUSION_FILE),
        (folder_of.get((TUNER, "tuner_results")), TUNING_FILE, TUNING_FILE),
        (folder_of.get((BULK_INFERRER, "predictions")), PREDICTIONS_FILE, RESULT),
    ):
        if source is not None and (source / name).is_file():
            show_file(source / name, root / shown)
        else:
            (root / shown).unlink(missing_ok=True)
    if (TRAINER, "model_run") in folder_of:
        show_file(folder_of[TRAINER, "model_run"] / TRAINING_LOG, root / TRAINING_LOG)


def show_file(source: Path, target: Path) -> None:
    """Copies a file; it is the old one until it is the new one."""
    with replacing(target) as fresh:
        shutil.copyfile(source, fresh)


def show_folder(source: Path | None, root: Path, name: str) -> None:
    """Makes ROOT/NAME hold the files of `source`, or none of such; files of other kinds in it stay.

    Raises:
      OSError: it is a link, or cannot be written.
    """
    shown, fresh, old = root / name, root / f".{name}.new", root / f".{name}.old"
    if shown.is_symlink():
        raise OSError(f"{shown}: is a link: remove it")
    remove_folder(root, fresh)
    _put_back(root, old, shown)  # of a run that was killed meanwhile
    if source is not None and source.is_dir():
        shutil.copytree(source, fresh)
    if is_folder(shown):
        shown.rename(old)
    if is_folder(fresh):
        fresh.rename(shown)
    _put_back(root, old, shown)


def _put_back(root: Path, old: Path, shown: Path) -> None:
    """Moves what is not ours from the old folder to the new one, and removes the old one."""
    if is_folder(old):
        for path in old.iterdir():
            if not _OURS.fullmatch(path.name):
                shown.mkdir(exist_ok=True)
                path.rename(shown / path.name)
        remove_folder(root, old)


def summarize(steps: list[StepResult], versions_before: list[int], name: str = "") -> dict[str, Any]:
    """The summary's keys that come from the steps and their artifacts.

    Args:
      steps: Of the run.
      versions_before: The versions that were there when it began.
      name: The model's name in requests; that of the folder of versions unless told otherwise.
    """
    outputs = {(step.id, key): artifact for step in steps for key, artifact in step.outputs.items()}
    decision = _json(outputs.get((QUALITY_GATE, "blessing")), DECISION_FILE)
    serving = _json(outputs.get((SERVING_GATE, "blessing")), SERVING_FILE)
    training = _json(outputs.get((TRAINER, "model_run")), TRAINING_LOG)
    baselines = _json(outputs.get((BASELINES, "baselines")), BASELINES_FILE)
    slices = _json(outputs.get((EVALUATOR, "evaluation")), SLICES_FILE)
    pushed = outputs.get((PUSHER, "pushed_model"))
    destination = pushed.custom_properties[PUSHED_DESTINATION].string_value if pushed is not None else ""
    outcome = _outcome(steps, decision, serving, destination, versions_before, name)
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "components": [
            {"id": s.id, "state": s.state, "seconds": round(s.seconds, 2), "peak_memory_mb": s.peak_memory_mb}
            for s in steps
        ],
        "data": data_facts(
            _json(outputs.get((EXAMPLE_GEN, "examples")), COUNTS_FILE),
            _json(outputs.get((DATA_GATE, "verdict")), VERDICT_FILE),
        ),
        "metrics": values(decision.get("metrics", {})),
        "baselines": values(baselines),
        "interval": values(decision.get("interval", {})),
        "slices": values(slices),
        "undefined": {
            key: undefined
            for key, undefined in (
                ("metrics", decision.get("undefined", {})),
                ("baselines", reasons(baselines)),
                ("slices", reasons(slices)),
            )
            if undefined
        },
        "model": model_facts(destination, training),
        **_bulk(outputs),
    }


def _bulk(outputs: dict[tuple[str, str], mlmd.Artifact]) -> dict[str, Any]:
    """The key `bulk`, where that step has begun."""
    counts = _json(outputs.get((BULK_EXAMPLE_GEN, "examples")), COUNTS_FILE)
    if not counts:
        return {}
    answered = outputs.get((BULK_INFERRER, "predictions"))
    path = None if answered is None else Path(answered.uri, PREDICTIONS_FILE)
    return {"bulk": bulk_facts(counts, path if path is not None and path.is_file() else None)}


def _outcome(
    steps: list[StepResult], decision: dict, serving: dict, destination: str, before: list[int], name: str
) -> Outcome:
    for step in steps:
        if step.state == FAILED:
            return step_failure(step)
    training_decision = decision_of(steps)
    if training_decision and not training_decision["train"]:
        return Outcome(UNCHANGED, str(training_decision["reason"]))
    for verdict, node, file in (
        (decision, QUALITY_GATE, DECISION_FILE),
        (serving, SERVING_GATE, SERVING_FILE),
    ):
        if "blessed" not in verdict:
            raise KembarError(_lost(steps, node, file))
    if not decision["blessed"]:
        return Outcome(NOT_BLESSED, decision["reason"])
    if not serving["blessed"]:
        return Outcome(SERVING_REJECTED, serving["reason"])
    version = os.path.basename(destination)
    served = in_service(Path(destination).parent, name)
    if served not in (None, int(version)):
        status = UNCHANGED if int(version) in before else PUSHED
        pinned = read_pins(Path(destination).parent, name) is not None
        why = "is pinned: kembar rollback --to latest lifts it" if pinned else "is newer, and of another hand"
        return Outcome(status, f"version {version} waits: version {served} {why}")
    if int(version) in before:
        cached = all(step.state == CACHED for step in steps if not step.id.endswith("Resolver"))
        return Outcome(
            UNCHANGED, f"version {version} is in service" + (" and nothing has changed" if cached else "")
        )
    return Outcome(PUSHED, f"version {version}: {decision['reason']}")


def _lost(steps: list[StepResult], node: str, name: str) -> str:
    """Return the way out where a file of a step is not there, which an older Kembar has left unseen."""
    folder = next((step.outputs["blessing"].uri for step in steps if step.id == node and step.outputs), node)
    return f"{Path(folder, name)}: no such file: remove the folder {folder}, and the step runs again"


def step_failure(step: StepResult) -> Outcome:
    """Return the outcome of a run with a failed step."""
    rejected = isinstance(step.error, DataRejected)
    lines = str(step.error).strip().splitlines() or [type(step.error).__name__]
    sentence = " ".join(" ".join(lines).split())
    if len(sentence) > LONGEST:  # the last line of such an error says what is wrong, the others where
        sentence = lines[-1].strip()
    sentence = sentence.split(" [while running '")[0]  # where in the graph: Beam's business
    reason = sentence if isinstance(step.error, KembarError) else f"{step.id}: {sentence}"
    return Outcome(DATA_REJECTED if rejected else FAILURE, reason)


def _json(artifact: mlmd.Artifact | None, name: str) -> dict[str, Any]:
    path = Path(artifact.uri, name) if artifact is not None else None
    return json.loads(path.read_text()) if path is not None and path.is_file() else {}
