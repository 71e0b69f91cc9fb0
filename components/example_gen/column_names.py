"""Names of columns, and runs of them: `p0..p63`, `0..11`, `px_001..px_012`, `x[0]..x[7]`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

# A run of names; with backslashes before its points it is one name, which has a backslash less.
_RUN = re.compile(
    r"(?P<name>(?:.*[^0-9])?)(?P<first>[0-9]{1,18})(?P<tail>[^0-9\\]*?)(?P<escape>\\*)\.\."
    r"(?P=name)(?P<last>[0-9]{1,18})(?P=tail)",
    re.DOTALL,
)
_LITERAL = "a column that is called so is written with a backslash before its points"
# No file has more columns: so many are slower to tell apart than a column of lists is to read.
_LONGEST_RUN = 100_000


def _expand(names: object) -> object:
    """`["p0..p63", "label"]` for 65 names."""
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, list | tuple):
        return names
    return tuple(part for name in names for part in _parts(name))


def _parts(name: object) -> Iterable[object]:
    run = _RUN.fullmatch(name) if isinstance(name, str) else None
    if run is None:
        return (name,)
    if run["escape"]:
        at = run.start("escape")
        return (run.string[:at] + run.string[at + 1 :],)
    first, last = int(run["first"]), int(run["last"])
    width = len(run["first"]) if run["first"].startswith("0") else 1
    if first >= last:
        way = "is one name" if first == last else "counts down"
        raise ValueError(f"{name!r} {way}: a run goes up, as in 'p0..p63'; {_LITERAL}")
    if run["last"] != f"{last:0{width}}":
        raise ValueError(
            f"{name!r} has zeros before one number and not before the other: write both as the columns have "
            f"them, as in 'px_001..px_012'; {_LITERAL}"
        )
    if last - first >= _LONGEST_RUN:
        raise ValueError(
            f"{name!r} stands for {last - first + 1:,} names, and {_LONGEST_RUN:,} are the most: keep so "
            f"many numbers in one column of lists; {_LITERAL}"
        )
    return (f"{run['name']}{number:0{width}}{run['tail']}" for number in range(first, last + 1))


def _escape(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that `_expand` reads as these again."""
    runs = [(name, _RUN.fullmatch(name)) for name in names]
    return tuple(
        name if run is None else f"{name[: run.start('escape')]}\\{name[run.start('escape') :]}"
        for name, run in runs
    )


Names = Annotated[tuple[str, ...], BeforeValidator(_expand), PlainSerializer(_escape)]
