"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from components.example_gen.batch import BATCH_ROWS, Batch, Fault, Reason
from components.example_gen.config import Data
from components.example_gen.records import with_bad_bytes


def read_jsonl(lines: Iterator[str], data: Data) -> Iterator[Batch]:
    """Batches of the objects in `lines`; blank lines are passed over."""
    numbered = ((at, line.rstrip("\r\n")) for at, line in enumerate(lines, 1) if line.strip())
    while chunk := list(islice(numbered, BATCH_ROWS)):
        texts = [text for _, text in chunk]
        faults = {
            at: Fault(Reason.BAD_ENCODING, f"bytes that are not {data.encoding}")
            for at in with_bad_bytes(texts)
        }
        objects = [_parse(at, text, data, faults) for at, text in enumerate(texts)]
        columns = {key: [found.get(name) for found in objects] for key, name in data.wanted.items()}
        yield Batch([line for line, _ in chunk], columns, texts.__getitem__, faults)


def _parse(at: int, text: str, data: Data, faults: dict[int, Fault]) -> dict[str, Any]:
    if at in faults:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        faults[at] = Fault(Reason.MALFORMED_JSON, str(error))
        return {}
    if not isinstance(found, dict):
        faults[at] = Fault(Reason.MALFORMED_JSON, f"{type(found).__name__} in place of an object")
        return {}
    for name in data.wanted.values():
        if name not in found:
            faults[at] = Fault(Reason.MISSING_KEY, f"no key {name!r}")
            return {}
    return found
