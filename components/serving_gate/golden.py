"""Requests that every model of a use case has to answer, given by whoever knows the use case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from trainer.errors import ConfigError
from trainer.section import Section


class Golden(Section):
    """One request, and what must come back: finite numbers, and these `outputs` if any are named."""

    signature: str = "serving_default"
    inputs: dict[str, Any] = Field(description='values by input, one a row; bytes are { b64 = "..." }')
    outputs: dict[str, Any] = Field({}, description="what must come back, by output")
    tolerance: float = Field(1e-4, ge=0, description="how far a number may be off")


def read_golden(path: Path) -> tuple[Golden, ...]:
    """The requests of a JSON file, a list of objects with the keys of `Golden`.

    Raises:
      ConfigError: naming the file, the request and the mistake.
    """
    try:
        return TypeAdapter(tuple[Golden, ...]).validate_json(path.read_bytes())
    except OSError as error:
        subject = f"[serving] golden_file = {str(path)!r}"
        raise ConfigError(f"{subject}: {error.strerror}: correct the path") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {f'request {location}: ' if location else ''}{first['msg']}") from None


def compare(golden: Golden, answer: dict[str, Any]) -> list[str]:
    """The faults of the probe's answer, a sentence each; empty for a right one."""
    wrong = []
    for name, wanted in golden.outputs.items():
        subject = f"golden request to {golden.signature!r}: output {name!r}"
        if name not in answer:
            wrong.append(f"{subject} is missing")
        elif not _same(answer[name]["values"], wanted, golden.tolerance):
            wrong.append(f"{subject} is {_short(answer[name]['values'])}, not {_short(wanted)}")
    return wrong


def _same(actual: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(actual, list) and isinstance(wanted, list):
        return len(actual) == len(wanted) and all(
            _same(a, b, tolerance) for a, b in zip(actual, wanted, strict=True)
        )
    if isinstance(actual, float) and isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return abs(actual - wanted) <= tolerance
    return type(actual) is type(wanted) and actual == wanted


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
