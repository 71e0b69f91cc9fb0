"""Starts the probe and judges its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat

from trainer.config import Section

PROBE = Path(__file__).with_name("probe.py")
# Two runs of the same float32 graph in batches of different shape differ by rounding, not by more.
TOLERANCE = 1e-4


class Serving(Section):
    """The `[serving]` section: where versions stand and what the gate allows."""

    directory: Path | None = Field(None, description="where versions are pushed; default: DIR/serving/NAME")
    gate_timeout: PositiveFloat = Field(
        120.0, description="seconds in which the exported model must have answered"
    )


def run_probe(
    model: str, requests: list[dict[str, Any]], folder: Path, timeout: float
) -> tuple[dict[str, Any], str]:
    """Asks the model in a fresh process.

    Returns:
      The probe's answers and an empty string, or an empty dict and why there are none.
    """
    questions, answers = folder / "requests.json", folder / "answers.json"
    questions.write_text(json.dumps(requests))
    command = [sys.executable, "-I", str(PROBE), model, str(questions), str(answers)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            timeout=timeout,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except subprocess.TimeoutExpired:
        return {}, f"no answer within {timeout:g} s ([serving] gate_timeout)"
    if not answers.is_file():
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return {}, f"the process that loaded the model ended with status {done.returncode}: {last[:300]}"
    # TensorFlow can crash in its last garbage collection; the answers were complete before that.
    return json.loads(answers.read_text()), ""


def judge(answers: dict[str, Any], score: str, expected: list[list[float]]) -> list[str]:
    """What is wrong with the answers; empty when nothing is.

    Args:
      answers: What the probe wrote; its first answer is for the evaluated examples.
      score: The output that the evaluator looked at.
      expected: The evaluator's scores of the same examples, in the same order.
    """
    wrong = []
    for answer in answers["answers"]:
        name = answer["signature"]
        if "error" in answer:
            wrong.append(f"signature {name!r}: {answer['error']}")
            continue
        wrong += [
            f"signature {name!r}: output {output!r} has values that are not finite"
            for output, value in answer["outputs"].items()
            if not value["finite"]
        ]
    first = answers["answers"][0]
    if expected and "error" not in first:
        wrong += _compare(first["outputs"].get(score), score, expected)
    return wrong


def _compare(output: dict[str, Any] | None, score: str, expected: list[list[float]]) -> list[str]:
    if output is None:
        return [f"no output {score!r}, which the evaluator looked at"]
    if output["values"] is None:
        return [f"output {score!r} is {output['dtype']}, not a number"]
    got = [value if isinstance(value, list) else [value] for value in output["values"]]
    if [len(row) for row in got] != [len(row) for row in expected]:
        return [f"output {score!r} has shape {output['shape']} for {len(expected)} examples"]
    pairs = [
        (a, b) for row, other in zip(got, expected, strict=True) for a, b in zip(row, other, strict=True)
    ]
    worst = max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)
    if worst <= TOLERANCE:
        return []
    return [f"output {score!r} differs from what the evaluator saw by up to {worst:.2g}"]
