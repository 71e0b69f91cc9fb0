"""CSV and TSV in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from components.example_gen.batch import BATCH_ROWS, Batch, Fault, FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.dialect import Dialect
from components.example_gen.encodings import encoding_faults
from components.example_gen.records import BAD_QUOTES, MANY_LINES, Record
from components.example_gen.streams import LONGEST_LINE, CutLine
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR

# Records that are taken at once, and characters from which on a batch takes no more: long texts must not fill
# the memory.
_TAKEN = 32
BATCH_CHARACTERS = 2**26


def read_delimited(
    records: Iterator[Record], names: list[str], data: DataSection, dialect: Dialect
) -> Iterator[Batch]:
    """Batches of `records`, whose fields are called `names`."""
    indices = {key: names.index(column) for key, column in data.wanted.items()}
    while chunk := _take(records):
        odd = _odd(chunk, len(names))
        if any("\r" in chunk[at].raw for at in odd):
            chunk = _at_returns(chunk, odd, len(names), dialect)
            odd = _odd(chunk, len(names))
        lines, raws, fields = zip(*chunk, strict=True)
        faults = _faults(raws, fields, odd, len(names), data, dialect)
        rows = fields
        if faults:
            # What there is of a row that cannot be used, for those who keep it.
            missing = [None] * len(names)
            rows = tuple([*(row or ()), *missing] if at in faults else row for at, row in enumerate(fields))
        columns = {key: [row[index] for row in rows] for key, index in indices.items()}
        if dialect.decimal == ",":
            _read_commas(columns, data, faults)
        yield Batch(lines, columns, raws.__getitem__, faults, _many_lines(lines, raws))


def _take(records: Iterator[Record]) -> list[Record]:
    chunk: list[Record] = []
    size = 0
    taken = min(_TAKEN, BATCH_ROWS)
    while len(chunk) < BATCH_ROWS and size < BATCH_CHARACTERS and (part := list(islice(records, taken))):
        chunk += part
        size += sum([len(record[1]) for record in part])
    return chunk


def _odd(chunk: list[Record], width: int) -> list[int]:
    """Places of the records that have not one field a column."""
    return [at for at, record in enumerate(chunk) if record[2] is None or len(record[2]) != width]


def _at_returns(chunk: list[Record], odd: list[int], width: int, dialect: Dialect) -> list[Record]:
    """The records; in place of an odd one the rows that bare carriage returns part it into, if they do."""
    parted = list(chunk)
    for at in reversed(odd):
        line, raw, _ = chunk[at]
        rows = [row for part in raw.split("\r") for row in dialect.parse(part)]
        if len(rows) > 1 and all(row.fields is not None and len(row.fields) == width for row in rows):
            parted[at : at + 1] = [row._replace(line=line) for row in rows]
    return parted


def _faults(
    raws: tuple[str, ...],
    fields: tuple[list[str] | None, ...],
    odd: list[int],
    width: int,
    data: DataSection,
    dialect: Dialect,
) -> dict[int, Fault]:
    blank = f"{dialect.delimiter} \t"
    nothing = Fault(FaultReason.BLANK_ROW, "nothing but delimiters")
    faults = {at: nothing for at, raw in enumerate(raws) if raw[:1] in blank and not raw.strip(blank)}
    faults |= encoding_faults(raws, dialect.encoding)
    for at in odd:
        row = fields[at]
        if row is None:
            faults.setdefault(at, _unparsed(raws[at]))
        elif len(row) < width or data.extra_fields == "quarantine":
            detail = f"{len(row)} fields, {width} columns"
            faults.setdefault(at, Fault(FaultReason.WRONG_COLUMN_COUNT, detail))
    return faults


def _unparsed(raw: str) -> Fault:
    if raw.__class__ is CutLine:
        return Fault(FaultReason.TEXT_TOO_LONG, f"a line of more than {LONGEST_LINE:,} characters")
    returns = "\r" in raw and '"' not in raw
    problem = "a carriage return within a field: enclose the field in quotes" if returns else BAD_QUOTES
    return Fault(FaultReason.MALFORMED_QUOTES, problem)


def _many_lines(lines: Sequence[int], raws: Sequence[str]) -> list[tuple[int, int]]:
    """First and last line of the records that have more than `MANY_LINES`."""
    spare = lines[-1] - lines[0] + 1 - len(lines)  # lines behind the first of a record, and blank ones
    if spare < MANY_LINES and raws[-1].count("\n") < MANY_LINES:
        return []
    counts = [raw.count("\n") for raw in raws]
    return [(line, line + count) for line, count in zip(lines, counts, strict=True) if count >= MANY_LINES]


def _read_commas(columns: dict[str, list[str | None]], data: DataSection, faults: dict[int, Fault]) -> None:
    """Numbers with a decimal comma with a point; one that has a point already is at fault."""
    for key, name in data.wanted.items():
        is_label = key.startswith(LABEL)
        if key in (TEXT_A, TEXT_B) or (is_label and data.label is not None and data.label.is_named):
            continue
        reason = FaultReason.BAD_LABEL if is_label else FaultReason.BAD_NUMBER
        for at, value in enumerate(columns[key]):
            if value is not None and "." in value:
                detail = f"column {name!r}: {value.strip()[:40]!r} has a point where decimal = ','"
                faults.setdefault(at, Fault(reason, detail))
        columns[key] = [v if v is None or "." in v else v.replace(",", ".") for v in columns[key]]


def without_nulls(batches: Iterable[Batch], data: DataSection) -> Iterator[Batch]:
    """The batches with nothing, as an empty field is, for the texts, labels and numbers in `[data] null`."""
    nulls = frozenset(data.null)
    # What is no number cannot be one of a vector, whatever it stands for.
    has_numbers = any(_is_number(null) for null in nulls)
    keys = [key for key in data.wanted if has_numbers or not key.startswith(VECTOR)]
    for batch in batches:
        changed = {
            key: ["" if isinstance(value, str) and value in nulls else value for value in values]
            for key in keys
            if isinstance(values := batch.columns[key], list) and _meet(nulls, values)
        }
        if changed:
            batch.columns = {**batch.columns, **changed}
        yield batch


def _meet(nulls: frozenset[str], values: list[Any]) -> bool:
    try:
        return not nulls.isdisjoint(values)
    except TypeError:  # lists
        return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
