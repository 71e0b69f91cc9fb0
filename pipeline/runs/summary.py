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

from components import nodes
from components.bulk_inferrer.bulk_config import RESULT
from components.champion import PUSHED_DESTINATION
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

# Node and key to the artifact.
Outputs = dict[tuple[str, str], mlmd.Artifact]
# What runs put into the folders that people look at.
_OURS = re.compile(r"(.+-\d{5}-of-\d{5}|rows)\.jsonl|.+\.(png|svg)")


def decision_of(steps: Sequence[StepResult]) -> dict[str, Any]:
    """Return the retraining gate's decision, as its file has it; an empty one where the gate has not run."""
    return _json(_outputs(steps), nodes.RETRAINING_GATE, "decision", nodes.DECISION_FILE)


def declines_training(step: StepResult) -> bool:
    """True where this step decided that nothing is to be trained, and the steps behind it are left out."""
    return not decision_of([step]).get("train", True)


def show_files(steps: list[StepResult], root: Path) -> None:
    """Copies what people look for from deep inside the artifacts to the top of the work folder.

    Of a run that came not so far, what the last run left would say nothing, and goes.
    """
    outputs = _outputs(steps)
    trained = (nodes.TRAINER, "model_run") in outputs
    for node, key, folder in (
        (nodes.EXAMPLE_GEN, "examples", nodes.QUARANTINE),
        (nodes.TRAINER, "model_run", "pictures"),
        (nodes.BULK_EXAMPLE_GEN, "examples", nodes.BULK_QUARANTINE),
    ):
        if node != nodes.TRAINER or trained:  # those of the last training stay
            show_folder(_path(outputs, node, key, folder), root, folder)
    for node, key, name, shown in (
        (nodes.DATA_GATE, "verdict", nodes.VERDICT_FILE, nodes.VERDICT_FILE),
        (nodes.EVALUATOR, "evaluation", nodes.CONFUSION_FILE, nodes.CONFUSION_FILE),
        (nodes.TUNER, "tuner_results", nodes.TUNING_FILE, nodes.TUNING_FILE),
        (nodes.BULK_INFERRER, "predictions", nodes.PREDICTIONS_FILE, RESULT),
        (nodes.TRAINER, "model_run", TRAINING_LOG, TRAINING_LOG),
    ):
        source = _path(outputs, node, key, name)
        if source is not None and source.is_file():
            show_file(source, root / shown)
        elif node != nodes.TRAINER or trained:
            (root / shown).unlink(missing_ok=True)


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
    outputs = _outputs(steps)
    decision = _json(outputs, nodes.QUALITY_GATE, "blessing", nodes.DECISION_FILE)
    serving = _json(outputs, nodes.SERVING_GATE, "blessing", nodes.SERVING_FILE)
    training = _json(outputs, nodes.TRAINER, "model_run", TRAINING_LOG)
    baselines = _json(outputs, nodes.BASELINES, "baselines", nodes.BASELINES_FILE)
    slices = _json(outputs, nodes.EVALUATOR, "evaluation", nodes.SLICES_FILE)
    undefined = {
        "metrics": decision.get("undefined", {}), "baselines": reasons(baselines), "slices": reasons(slices)
    }  # fmt: skip
    pushed = outputs.get((nodes.PUSHER, "pushed_model"))
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
            _json(outputs, nodes.EXAMPLE_GEN, "examples", nodes.COUNTS_FILE),
            _json(outputs, nodes.DATA_GATE, "verdict", nodes.VERDICT_FILE),
            training,
        ),
        "metrics": values(decision.get("metrics", {})),
        "baselines": values(baselines),
        "interval": values(decision.get("interval", {})),
        "slices": values(slices),
        "undefined": {key: why for key, why in undefined.items() if why},
        "model": model_facts(destination, training),
        **_bulk(outputs),
    }


def _bulk(outputs: Outputs) -> dict[str, Any]:
    """The key `bulk`, where that step has begun."""
    counts = _json(outputs, nodes.BULK_EXAMPLE_GEN, "examples", nodes.COUNTS_FILE)
    path = _path(outputs, nodes.BULK_INFERRER, "predictions", nodes.PREDICTIONS_FILE)
    answers = path if path is not None and path.is_file() else None
    return {"bulk": bulk_facts(counts, answers)} if counts else {}


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
        (decision, nodes.QUALITY_GATE, nodes.DECISION_FILE),
        (serving, nodes.SERVING_GATE, nodes.SERVING_FILE),
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


def _outputs(steps: Sequence[StepResult]) -> Outputs:
    return {(step.id, key): artifact for step in steps for key, artifact in step.outputs.items()}


def _path(outputs: Outputs, node: str, key: str, name: str) -> Path | None:
    """Where the output of a node has a file or a folder; None where it has no such output."""
    return Path(outputs[node, key].uri, name) if (node, key) in outputs else None


def _json(outputs: Outputs, node: str, key: str, name: str) -> dict[str, Any]:
    """The content of such a file; nothing where it is not there."""
    path = _path(outputs, node, key, name)
    return json.loads(path.read_text()) if path is not None and path.is_file() else {}
