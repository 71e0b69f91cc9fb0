"""`kembar predict` and `kembar embed`: the rows of a file through the version in service, in their order."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.example_gen.data_config import DataSection
from components.example_gen.records import has_bad_bytes
from pipeline.batch import rows as files
from pipeline.batch import sinks
from pipeline.batch.inputs import open_table
from pipeline.batch.rows import ERROR, InputError, InputTable, Row
from pipeline.outputs import check_not_read
from pipeline.serving.folder import latest, load_served
from pipeline.serving.signatures import DEFAULT_SIGNATURE, TensorSpec, as_objects
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError, ServingError
from trainer.features import TEXT_A, TEXT_B

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from pipeline.serving.model import LoadedModel

EMBED, EMBEDDING = "embed", "embedding"
_PAIR = (TEXT_A, TEXT_B)


@dataclass(frozen=True)
class FileRequest:
    """The files of a command: `source`, read as `data` says, and `output`, or else standard output.

    The columns that are added have `prefix` before their names.
    """

    data: DataSection
    source: Path
    output: Path | None = None
    prefix: str = ""

    def open(self, *choices: tuple[str, ...]) -> InputTable:
        """The file that is read, with the first of the choices that it has for texts.

        Raises:
          ConfigError: it has none of them, cannot be read, or `output` cannot be written.
        """
        table = open_table(self.source, self.data, choices)
        sinks.check_output(self.output, self.source)
        check_not_read(self.output, self.source, self.data)
        return table


@dataclass(frozen=True)
class _Given:
    """One pair that no file holds, as a table of one row."""

    values: dict[str, str]
    path: Path = Path("TEXT_A TEXT_B")
    names: tuple[str, ...] = _PAIR

    def rows(self) -> Iterator[Row]:
        yield Row(self.values)

    def columns(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([(name, pa.string()) for name in self.names])


def predict_pair(
    workdir: Workdir, texts: tuple[str, str], output: Path | None, terminal: Terminal, prefix: str = ""
) -> None:
    """Scores one pair.

    Raises:
      ConfigError: a text is not UTF-8, or `output` cannot be written.
      ServingError: when no version is served.
    """
    for at, text in enumerate(texts, 1):
        if has_bad_bytes(text):
            raise ConfigError(f"text {at} is not UTF-8: {text[:80]!r}")
    sinks.check_output(output)
    given = _Given(dict(zip(_PAIR, texts, strict=True)))
    _score_all(workdir, given, _PAIR, output, prefix, terminal)


def predict(workdir: Workdir, request: FileRequest, terminal: Terminal) -> None:
    """Scores every row of a file in its order; a row that cannot be scored gets an `error`.

    The file's texts are in `text_a` and `text_b`, as in requests, or else in the columns of `[data]`.

    Raises:
      ConfigError: for a file that is missing, lacks a column, or is of no known kind, and for an output that
        cannot be written.
      ServingError: when no version is served.
    """
    table = request.open(_PAIR, (str(request.data.text_a), str(request.data.text_b)))
    terminal.say(_score_all(workdir, table, table.texts, request.output, request.prefix, terminal))


def embed(workdir: Workdir, request: FileRequest, columns: Sequence[str], terminal: Terminal) -> None:
    """Writes every row of a file with the embedding of its text, which is in the first of `columns` there.

    Raises:
      ConfigError: as `predict` does.
      ServingError: when no version is served.
    """
    import pyarrow as pa

    table = request.open(*((column,) for column in columns))

    def answer(model: LoadedModel, batch: list[Row]) -> Iterator[dict[str, Any]]:
        for vector in embeddings(model, as_bytes([row.values[table.texts[0]] for row in batch])):
            yield {EMBEDDING: vector}

    with served(workdir, terminal, "embed") as model:
        added = {EMBEDDING: pa.list_(pa.float32())}
        answers = functools.partial(answer, model)
        ending = _answer_all(table, request.output, request.prefix, added, answers, terminal, always=True)
    terminal.say(ending)


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
    return as_objects([text.encode() for text in texts])


def _score_all(
    workdir: Workdir,
    table: InputTable | _Given,
    texts: tuple[str, ...],
    output: Path | None,
    prefix: str,
    terminal: Terminal,
) -> str:
    with served(workdir, terminal, "predict") as model:
        outputs = sorted(model.signature(DEFAULT_SIGNATURE).outputs.items())
        added = {name: _type_of(spec) for name, spec in outputs}
        answers = functools.partial(_scores, model, texts)
        return _answer_all(table, output, prefix, added, answers, terminal)


def _scores(model: LoadedModel, texts: tuple[str, ...], batch: list[Row]) -> Iterator[dict[str, Any]]:
    inputs = {
        key: as_bytes([row.values[name] for row in batch]) for key, name in zip(_PAIR, texts, strict=True)
    }
    outputs = model.predict(DEFAULT_SIGNATURE, inputs)
    for at in range(len(batch)):
        yield {name: values[at] for name, values in sorted(outputs.items())}


def _type_of(spec: TensorSpec) -> pa.DataType:
    """Return the type that a table keeps an output of each row in."""
    import pyarrow as pa

    kind = pa.string() if spec.dtype == "string" else pa.from_numpy_dtype(spec.dtype)
    return pa.list_(kind) if spec.shape is not None and len(spec.shape) > 1 else kind


def _answer_all(
    table: InputTable | _Given,
    output: Path | None,
    prefix: str,
    added: Mapping[str, pa.DataType],
    answer: Callable[[list[Row]], Iterable[Mapping[str, Any]]],
    terminal: Terminal,
    *,
    always: bool = False,
) -> str:
    """Writes a row for each row; returns a sentence of how many there were, and how many with an error.

    `always`: each line of JSON has all the columns that are added, as a row of a table has.
    """
    import pyarrow as pa

    began = time.monotonic()
    if not prefix.isprintable():
        raise ConfigError(f"--prefix {prefix!r}: has signs that no name has: give letters, such as kembar_")
    new = {name: f"{prefix}{name}" for name in (*added, ERROR)}
    _check_free(table.path, table.names, new.values(), prefix)
    columns = None
    if sinks.needs_columns(output):
        kinds = {**added, ERROR: pa.string()}
        columns = pa.schema([*table.columns(), *((new[name], kind) for name, kind in kinds.items())])
    empty = dict.fromkeys(new.values()) if always or columns is not None else {}
    plain = _text if sinks.is_parquet(output) else _plain
    total = bad = 0
    # Rows that go to the terminal are progress enough.
    progress = terminal.progress() if output is not None else nullcontext(lambda text: None)
    with sinks.sink(output, terminal.out, columns) as sink, progress as show:
        for batch in files.batches(table.rows()):
            good = [row for row in batch if not row.problem]
            answers = iter(answer(good) if good else ())
            lines = []
            for row in batch:
                _check_free(table.path, row.values, new.values(), prefix)
                own = {ERROR: row.problem} if row.problem else next(answers)
                own = {new[name]: plain(value) for name, value in own.items()}
                lines.append({**row.values, **empty, **own})
            sink.write(lines)
            total += len(batch)
            bad += len(batch) - len(good)
            show(f"{total:,} rows")
    return counts(total, bad, time.monotonic() - began, f": see {new[ERROR]!r}")


def counts(rows: int, bad: int, seconds: float, where: str = "") -> str:
    """Return the line that a command ends with."""
    errors = f"{bad:,} with an error{where if bad else ''}"
    return f"{rows:,} rows read, {rows - bad:,} answered, {errors} ({seconds:.1f} s)"


def _check_free(path: Path, own: Iterable[str], new: Iterable[str], prefix: str) -> None:
    """Raises ConfigError where a file has a column already that is to be added."""
    twice = set(own).intersection(new)
    if twice:
        other = "another --prefix" if prefix else "--prefix kembar_"
        raise InputError(
            f"{path}: has a column {min(twice)!r} already, and one that is added has this name: "
            f"give {other}, or rename it"
        )


def _text(value: Any) -> Any:
    """Bytes as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    """As JSON has it; a float32 keeps its own digits, as it does over REST."""
    if isinstance(value, bytes | str):
        return _text(value)
    if getattr(value, "ndim", 0):
        return [_plain(item) for item in value]
    return float(str(value)) if getattr(value, "dtype", None) == "float32" else value.tolist()
