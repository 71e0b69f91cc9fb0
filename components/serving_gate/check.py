"""Starts the probe and judges its answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from components.serving_gate import contract, golden
from components.serving_gate.golden import Golden
from trainer.families import ContractSignature
from trainer.section import Section

PROBE = Path(__file__).with_name("probe.py")
# Two runs of the same float32 graph in batches of different shape differ by rounding, not by more.
TOLERANCE = 1e-4
# Keys of the section that the gate does not look at: changing them must not make it run again.
NOT_THE_GATES = {"directory", "keep_versions", "mirror", "golden_file"}


class Deployment(Section):
    """The keys of `[serving]` that the gate and the pusher read."""

    directory: Path | None = Field(None, description="where versions are pushed; default: DIR/serving/NAME")
    keep_versions: int | None = Field(
        None, ge=2, description="newest versions that stay, pinned ones besides; default: all"
    )
    mirror: str | None = Field(
        None, pattern=r"^[a-z0-9]+://.|^/.", description="a folder in an object store that gets them too"
    )
    gate_timeout: PositiveFloat = Field(
        120.0, description="seconds in which the exported model must have answered"
    )
    max_memory_mb: PositiveFloat | None = Field(
        None, description="memory that loading and answering may take, TensorFlow itself not counted"
    )
    max_p50_ms: PositiveFloat | None = Field(None, description="median time of one row")
    max_p99_ms: PositiveFloat | None = Field(None, description="time of one row, 99 of 100")
    batch_rows: PositiveInt = Field(256, description="rows in the batches that are timed")
    max_batch_p99_ms: PositiveFloat | None = Field(None, description="time of such a batch, 99 of 100")
    golden: tuple[Golden, ...] = Field((), description="requests that the model has to answer")
    golden_file: Path | None = Field(None, description="the same as a JSON list in a file")

    @model_validator(mode="after")
    def _golden_once(self) -> Self:
        if self.golden and self.golden_file is not None:
            raise ValueError("golden stands in place of golden_file: remove one of the two")
        return self

    def for_gate(self) -> str:
        """The section as the gate reads it, as JSON, with the requests of the file in it.

        Raises:
          ConfigError: the file is missing or wrong.
        """
        requests = golden.read_golden(self.golden_file) if self.golden_file is not None else self.golden
        section = self.model_copy(update={"golden": requests})
        return section.model_dump_json(exclude=NOT_THE_GATES)


def run_probe(
    model: str,
    requests: list[dict[str, Any]],
    folder: Path,
    limits: Deployment,
    timed: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], str]:
    """Asks the model in a fresh process.

    Args:
      model: A SavedModel.
      requests: What to ask, each with `signature` and `inputs`.
      folder: For the files between the two processes.
      limits: Time, memory, and the size of a batch.
      timed: The request whose rows the latency is measured with.

    Returns:
      The probe's report and an empty string, or an empty dict and why there is none.
    """
    questions, answers = folder / "requests.json", folder / "answers.json"
    job = {"requests": requests, "timed": timed, "batch_rows": limits.batch_rows}
    questions.write_text(json.dumps({**job, "memory_limit_mb": limits.max_memory_mb}))
    command = [sys.executable, "-I", str(PROBE), model, str(questions), str(answers)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    # Every arena of malloc reserves address space, which is what is limited.
    environment |= {"MALLOC_ARENA_MAX": "4"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            timeout=limits.gate_timeout,
            text=True,
            errors="backslashreplace",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except subprocess.TimeoutExpired:
        return {}, f"no answer within {limits.gate_timeout:g} s ([serving] gate_timeout)"
    if not answers.is_file():
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        ended = f"ended with status {done.returncode}"
        if done.returncode == -signal.SIGKILL:
            ended = "was killed, as the kernel does when memory runs out"
        return {}, f"the process that loaded the model {ended}: {last[:300]}"
    # TensorFlow can crash in its last garbage collection; the answers were complete before that.
    return json.loads(answers.read_text()), ""


def judge(
    report: dict[str, Any],
    promised: dict[str, ContractSignature],
    score: str,
    expected: list[list[float]],
    limits: Deployment,
) -> list[str]:
    """The faults of the model, a sentence each; empty for a model that is in order.

    Args:
      report: What the probe wrote. Its first answer is for the evaluated examples, its last ones are for
        `limits.golden`.
      promised: The signatures that the family promises.
      score: The output that the evaluator looked at.
      expected: The evaluator's scores of the same examples, in the same order.
      limits: The `[serving]` section.
    """
    if report["foreign_ops"]:
        return report["foreign_ops"]
    wrong = contract.compare(report["signatures"], promised)
    wrong += [report[key] for key in ("warmup_error", "timing_error") if key in report]
    answers = report["answers"]
    for answer in answers:
        subject = f"signature {answer['signature']!r}"
        wrong += [f"{subject}: {answer['error']}"] if "error" in answer else []
        wrong += [
            f"{subject}: output {output!r} has values that are not finite"
            for output, value in answer.get("outputs", {}).items()
            if not value["finite"]
        ]
    if expected and "error" not in answers[0]:
        wrong += _compare(answers[0]["outputs"].get(score), score, expected)
    for request, answer in zip(limits.golden, answers[len(answers) - len(limits.golden) :], strict=True):
        if "error" not in answer:
            wrong += golden.compare(request, answer["outputs"])
    return list(dict.fromkeys(wrong + _over(report, limits)))


def _over(report: dict[str, Any], limits: Deployment) -> list[str]:
    measured = [("max_memory_mb", "loading and answering took", report["memory_mb"], "MB")]
    if "latency_ms" in report:
        single, batch = report["latency_ms"]["single"], report["latency_ms"]["batch"]
        measured += [
            (f"max_{rank}_ms", f"one row took, {rank},", single[rank], "ms") for rank in ("p50", "p99")
        ]
        rows = f"a batch of {limits.batch_rows} rows took, p99,"
        measured.append(("max_batch_p99_ms", rows, batch["p99"], "ms"))
    return [
        f"{what} {value:.3g} {unit}, more than {limit:g} ([serving] {key})"
        for key, what, value, unit in measured
        if (limit := getattr(limits, key)) is not None and value > limit
    ]


def _compare(output: dict[str, Any] | None, score: str, expected: list[list[float]]) -> list[str]:
    if output is None:
        return [f"no output {score!r}, which the evaluator looked at"]
    if not output["numeric"]:
        return [f"output {score!r} is {output['dtype']}, not a number"]
    got = [value if isinstance(value, list) else [value] for value in output["values"]]
    if [len(row) for row in got] != [len(row) for row in expected]:
        return [f"output {score!r} has shape {output['shape']} for {len(expected)} examples"]
    served, evaluated = (np.array(list(chain(*rows)), np.float64) for rows in (got, expected))
    # What is no finite number is judged above; here only whether both are.
    finite = np.isfinite(served)
    if (finite != np.isfinite(evaluated)).any():
        return [
            f"output {score!r} is finite where the evaluator saw no finite number, or the other way round"
        ]
    served, evaluated = served[finite], evaluated[finite]
    worst = (np.abs(served - evaluated) / np.maximum(1.0, np.abs(evaluated))).max(initial=0.0)
    if worst <= TOLERANCE:
        return []
    return [f"output {score!r} differs from what the evaluator saw by up to {worst:.2g}"]
