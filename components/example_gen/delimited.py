"""CSV and TSV in batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from components.example_gen.batch import BATCH_ROWS, Batch, Fault, Reason
from components.example_gen.config import Data
from components.example_gen.records import BAD_QUOTES, Record, with_bad_bytes


def read_delimited(records: Iterator[Record], names: list[str], data: Data) -> Iterator[Batch]:
    """Batches of `records`, whose fields are called `names`."""
    places = {key: names.index(column) for key, column in data.wanted.items()}
    while chunk := list(islice(records, BATCH_ROWS)):
        lines, raws, fields = zip(*chunk, strict=True)
        faults = _faults(raws, fields, len(names), data)
        rows = fields
        if faults:
            # What there is of a row that cannot be used, for those who keep it.
            nothing = [None] * len(names)
            rows = tuple([*(row or ()), *nothing] if at in faults else row for at, row in enumerate(fields))
        columns = {key: [row[place] for row in rows] for key, place in places.items()}
        yield Batch(lines, columns, raws.__getitem__, faults)


def _faults(
    raws: tuple[str, ...], fields: tuple[list[str] | None, ...], width: int, data: Data
) -> dict[int, Fault]:
    faults = {
        at: Fault(Reason.BAD_ENCODING, f"bytes that are not {data.encoding}") for at in with_bad_bytes(raws)
    }
    strict = data.extra_fields == "quarantine"
    for at, row in enumerate(fields):
        if row is None:
            faults.setdefault(at, Fault(Reason.MALFORMED_QUOTES, BAD_QUOTES))
        elif len(row) < width or (strict and len(row) > width):
            said = f"{len(row)} fields, {width} columns"
            faults.setdefault(at, Fault(Reason.WRONG_COLUMN_COUNT, said))
    return faults
