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
        raise ConfigError(
            f"[serving] golden_file = {str(path)!r}: {error.strerror}: correct the path"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {f'request {place}: ' if place else ''}{first['msg']}") from None


def compare(golden: Golden, answer: dict[str, Any]) -> list[str]:
    """What is wrong with the probe's answer; empty when nothing is."""
    wrong = []
    for name, wanted in golden.outputs.items():
        place = f"golden request to {golden.signature!r}: output {name!r}"
        if name not in answer:
            wrong.append(f"{place} is missing")
        elif not _same(answer[name]["values"], wanted, golden.tolerance):
            wrong.append(f"{place} is {_short(answer[name]['values'])}, not {_short(wanted)}")
    return wrong


def _same(found: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(
            _same(a, b, tolerance) for a, b in zip(found, wanted, strict=True)
        )
    if isinstance(found, float) and isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return abs(found - wanted) <= tolerance
    return type(found) is type(wanted) and found == wanted


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
