"""`kembar predict`: scores from the version in service, as JSON lines."""

from __future__ import annotations

import csv
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from components.example_gen.records import has_bad_bytes, open_text
from pipeline.serving.versions import latest, load_served
from pipeline.terminal import Terminal
from pipeline.workdir import Workdir
from trainer.errors import ConfigError, ServingError
from trainer.features import TEXT_A, TEXT_B

if TYPE_CHECKING:
    from pipeline.serving.model import LoadedModel

# Pairs in one call: enough to keep the cores busy, little in memory.
BATCH = 1_024


def predict(
    workdir: Workdir,
    texts: tuple[str, str] | None,
    source: Path | None,
    output: Path | None,
    terminal: Terminal,
) -> None:
    """Scores one pair, or every row of a file in its order.

    Raises:
      ConfigError: for a file that is missing, lacks a text, or is neither CSV nor JSON lines.
      ServingError: when no version is served.
    """
    pair = [{TEXT_A: texts[0], TEXT_B: texts[1]}] if texts is not None else None
    rows: Iterable[dict[str, Any]] = pair or _read(source or Path())
    if output is not None and not output.parent.is_dir():
        raise ConfigError(f"--output {output}: no such folder: {output.parent}")
    if latest(workdir.serving) is None:  # said before a log is begun
        raise ServingError(f"{workdir.serving}: no version is served; push one with `kembar run`")
    with terminal.noise_to(workdir.root / "predict.log"):
        model = load_served(workdir.serving)
        with _sink(output, terminal.out) as sink:
            while batch := list(itertools.islice(rows := iter(rows), BATCH)):
                for answer in _score(model, batch):
                    sink.write(json.dumps(answer, ensure_ascii=False) + "\n")


def _score(model: LoadedModel, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    import numpy as np

    inputs = {key: np.array([row[key].encode() for row in rows], object) for key in (TEXT_A, TEXT_B)}
    outputs = model.predict("serving_default", inputs)
    for at, row in enumerate(rows):
        yield {**row, **{name: _plain(values[at]) for name, values in sorted(outputs.items())}}


def _plain(value: Any) -> Any:
    """As JSON has it; a float32 keeps its own digits, as it does over REST."""
    if isinstance(value, bytes):
        return value.decode()
    if getattr(value, "ndim", 0):
        return [_plain(item) for item in value]
    return json.loads(str(value)) if getattr(value, "dtype", None) == "float32" else value.tolist()


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise ConfigError(f"--input {path}: no such file")
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        raise ConfigError(f"--input {path}: known are .csv, .tsv and .jsonl, also with .gz")
    return _rows(path, kind)


def _rows(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        with open_text(path, "utf-8") as file:
            rows: Iterable[Any] = (json.loads(line) for line in file if line.strip())
            if kind in (".csv", ".tsv"):
                rows = csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ",")
            for row in rows:
                number += 1
                yield _checked(row, path, number)
    except (json.JSONDecodeError, csv.Error, EOFError, OSError, zlib.error) as error:
        raise ConfigError(f"--input {path}, row {number + 1}: {error}") from None


def _checked(row: Any, path: Path, number: int) -> dict[str, Any]:
    for key in (TEXT_A, TEXT_B):
        value = row.get(key) if isinstance(row, dict) else None
        if not isinstance(value, str):
            raise ConfigError(
                f"--input {path}, row {number}: no text {key!r}: name the columns text_a and text_b"
            )
    if None in row:  # where csv puts fields behind the last column
        raise ConfigError(f"--input {path}, row {number}: more fields than the header has columns")
    for key, value in row.items():
        if has_bad_bytes(f"{key}{value}"):
            raise ConfigError(f"--input {path}, row {number}: {key!r} is not UTF-8")
    return row


@contextmanager
def _sink(output: Path | None, default: TextIO) -> Iterator[TextIO]:
    """The output file, which appears only when it is complete; or standard output."""
    if output is None:
        yield default
        return
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            yield file
        fresh.replace(output)
    finally:
        fresh.unlink(missing_ok=True)
