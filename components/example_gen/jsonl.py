"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from components.example_gen.batch import BATCH_ROWS, Batch, Fault, FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.encodings import encoding_faults
from trainer.errors import ConfigError

# Of a whole number; no float holds one of more.
_DIGITS = 400
_LINES_ADVICE = ": write one object a line, such as by jq -c '.[]' FILE"
_ARRAY_ADVICE = f": a JSON array{_LINES_ADVICE}"


def read_jsonl(lines: Iterator[str], data: DataSection) -> Iterator[Batch]:
    """Batches of the objects in `lines`; blank lines are passed over."""
    wanted = data.wanted
    names = tuple(wanted.values())
    numbered = ((at, line.rstrip("\r\n")) for at, line in enumerate(lines, 1) if line.strip())
    while chunk := list(islice(numbered, BATCH_ROWS)):
        texts = [text for _, text in chunk]
        faults = encoding_faults(texts, data.encoding or "utf-8")
        objects = [_parse(at, text, names, faults) for at, text in enumerate(texts)]
        columns = {key: [parsed.get(name) for parsed in objects] for key, name in wanted.items()}
        yield Batch([line for line, _ in chunk], columns, texts.__getitem__, faults)


def check_objects(path: Path, first: Batch) -> None:
    """Raises ConfigError where a file, as its `first` rows show, has no JSON lines, or not of these keys."""
    none = len(first.faults) == len(first.positions)
    if not none and first.raw(0).strip() != "[":
        return
    _, fault = min(first.faults.items())
    detail = fault.detail
    if fault.reason is FaultReason.MISSING_KEY:
        detail += f": set [data] to keys of these objects, such as {first.raw(0)[:80]}"
    if not any(text.lstrip()[:1] in ("{", "[") for text in map(first.raw, range(len(first.positions)))):
        detail += ': if these are fields, set [data] format = "csv"'
    rows = f"none of the first {len(first.positions)} rows can be read: " if none else ""
    raise ConfigError(f"{path}: {rows}line {first.positions[0]}: {detail}")


def _parse(at: int, text: str, wanted: tuple[str, ...], faults: dict[int, Fault]) -> dict[str, Any]:
    if at in faults:
        return {}
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            row = _load(text, error)
        except (ValueError, RecursionError) as again:
            faults[at] = Fault(FaultReason.MALFORMED_JSON, _malformed(text, again))
            return {}
    if not isinstance(row, dict):
        detail = f"{type(row).__name__} in place of an object"
        faults[at] = Fault(FaultReason.MALFORMED_JSON, detail + _ARRAY_ADVICE * isinstance(row, list))
        return {}
    for name in wanted:
        if name not in row:
            faults[at] = Fault(FaultReason.MISSING_KEY, f"no key {name!r}")
            return {}
    if text.count(":") > len(row):  # a key may come twice, of which `json` keeps the last
        pairs = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=list, parse_int=float)
        counts = Counter(name for name, _ in pairs)
        for name in wanted:
            if counts[name] > 1:
                faults[at] = Fault(FaultReason.MALFORMED_JSON, f"key {name!r} comes {counts[name]} times")
                return {}
    return row


def _load(text: str, error: Exception) -> Any:
    """Read a text that `json` wrongly refuses: a byte order mark before it, or a very long whole number."""
    if text.startswith("\ufeff"):  # files that were put one behind the other
        return json.loads(text[1:], parse_int=_whole)
    if isinstance(error, json.JSONDecodeError | RecursionError):
        raise error
    return json.loads(text, parse_int=_whole)  # Python guards against numbers that take ages to read


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _DIGITS else float(digits)


def _malformed(text: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "lists or objects are nested too deeply"
    start = text.strip()
    if start in ("[", "]", "],") or start.startswith("[{"):
        return f"{error}{_ARRAY_ADVICE}"
    if start in ("{", "}", "},"):
        return f"{error}: an object of several lines: write each in one, such as by jq -c . FILE"
    if start.endswith("},"):
        return f"{error}: the line belongs to a JSON array{_LINES_ADVICE}"
    if start.startswith("{") and isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
        return f"{error}: more than one object{_LINES_ADVICE}"
    return str(error)
