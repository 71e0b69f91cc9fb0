"""`kembar predict` and `kembar embed`: the rows of a file through the version in service, in their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import rows as files
from pipeline import sinks
from pipeline.rows import ERROR, Row
from pipeline.serving.folder import latest, load_served
from pipeline.terminal import Terminal
from pipeline.workdir import Workdir
from trainer.errors import ConfigError, ServingError
from trainer.features import TEXT_A, TEXT_B

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from pipeline.serving.model import LoadedModel

EMBED, EMBEDDING = "embed", "embedding"


def predict(
    workdir: Workdir,
    texts: tuple[str, str] | None,
    source: Path | None,
    output: Path | None,
    terminal: Terminal,
    columns: tuple[str, str] = (TEXT_A, TEXT_B),
) -> None:
    """Scores one pair, or every row of a file in its order; a row that cannot be scored gets an `error`.

    The file's texts are in `text_a` and `text_b`, as in requests, or else in `columns`.

    Raises:
      ConfigError: for a file that is missing, lacks a column, or is of no known kind.
      ServingError: when no version is served.
    """
    usual = (TEXT_A, TEXT_B)
    if texts is not None:
        names, rows = usual, iter([Row(dict(zip(usual, texts, strict=True)))])
    else:
        path = source or Path()
        names = usual if files.has_columns(path, usual) else columns
        rows = files.read_rows(path, names)
    sinks.check_output(output)

    def answer(model: LoadedModel, batch: list[Row]) -> Iterator[dict[str, Any]]:
        inputs = {
            key: as_bytes([row.values[name] for row in batch]) for key, name in zip(usual, names, strict=True)
        }
        outputs = model.predict("serving_default", inputs)
        for at in range(len(batch)):
            yield {name: _plain(values[at]) for name, values in sorted(outputs.items())}

    with served(workdir, terminal, "predict") as model, sinks.sink(output, terminal.out) as sink:
        bad = _answer_all(rows, lambda batch: answer(model, batch), sink)
    _report(bad, terminal)


def embed(workdir: Workdir, source: Path, output: Path, column: str, terminal: Terminal) -> None:
    """Writes every row of a file with the embedding of its text; .parquet or JSON lines.

    Raises:
      ConfigError: as `predict` does; or an output that cannot hold the rows.
      ServingError: when no version is served.
    """
    rows = files.read_rows(source, (column,))
    sinks.check_output(output)
    columns = _columns(source, column) if output.suffix == ".parquet" else None

    def answer(model: LoadedModel, batch: list[Row]) -> Iterator[dict[str, Any]]:
        vectors = embeddings(model, as_bytes([row.values[column] for row in batch]))
        for vector in vectors:
            yield {EMBEDDING: _plain(vector) if columns is None else vector}

    with served(workdir, terminal, "embed") as model, sinks.sink(output, terminal.out, columns) as sink:
        bad = _answer_all(rows, lambda batch: answer(model, batch), sink, {EMBEDDING: None, ERROR: None})
    _report(bad, terminal)


@contextmanager
def served(workdir: Workdir, terminal: Terminal, command: str) -> Iterator[LoadedModel]:
    """The version in service; what libraries print meanwhile goes to a log of the command."""
    if latest(workdir.serving) is None:  # said before a log is begun
        raise ServingError(f"{workdir.serving}: no version is served; push one with `kembar run`")
    with terminal.noise_to(workdir.root / f"{command}.log"):
        yield load_served(workdir.serving, workdir.name)


def embeddings(model: LoadedModel, texts: np.ndarray) -> np.ndarray:
    """float32 [texts, dim], from the signature `embed`.

    Raises:
      ConfigError: the model has no such signature.
    """
    if EMBED not in model.signatures:
        known = ", ".join(sorted(model.signatures))
        raise ConfigError(f"the served model has no signature 'embed': it has {known}")
    return model.predict(EMBED, {"text": texts})[EMBEDDING]


def as_bytes(texts: list[str]) -> np.ndarray:
    """Texts as the array that a signature takes, object [texts]."""
    import numpy as np

    array = np.empty(len(texts), dtype=object)
    array[:] = [text.encode() for text in texts]
    return array


def _columns(source: Path, column: str) -> pa.Schema:
    """Those of the file, then what `embed` adds."""
    import pyarrow as pa

    added = [pa.field(EMBEDDING, pa.list_(pa.float32())), pa.field(ERROR, pa.string())]  # a list may be null
    own = [field for field in files.columns_of(source, (column,)) if field.name not in (EMBEDDING, ERROR)]
    return pa.schema([*own, *added])


def _answer_all(
    rows: Iterable[Row],
    answer: Callable[[list[Row]], Iterable[Mapping[str, Any]]],
    sink: sinks.Sink,
    empty: Mapping[str, Any] | None = None,
) -> tuple[int, int]:
    """Writes a row for each row; returns how many there were, and how many with an error.

    `empty` has a value for every column that each row gets besides its own.
    """
    total = bad = 0
    for batch in files.batches(rows):
        good = [row for row in batch if not row.problem]
        answers = iter(answer(good) if good else ())
        sink.write(
            [
                {**row.values, **(empty or {}), **({ERROR: row.problem} if row.problem else next(answers))}
                for row in batch
            ]
        )
        total += len(batch)
        bad += len(batch) - len(good)
    return total, bad


def _report(counted: tuple[int, int], terminal: Terminal) -> None:
    total, bad = counted
    if bad:
        terminal.say(f"{bad} of {total} rows could not be read: their 'error' says why")


def _plain(value: Any) -> Any:
    """As JSON has it; a float32 keeps its own digits, as it does over REST."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if getattr(value, "ndim", 0):
        return [_plain(item) for item in value]
    return json.loads(str(value)) if getattr(value, "dtype", None) == "float32" else value.tolist()
