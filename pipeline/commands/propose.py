"""A configuration for a file of data, guessed from its columns and first rows."""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from components.example_gen.data_config import DataSection
from pipeline.batch.inputs import FORMATS, OTHERS, open_table, unzipped
from pipeline.batch.rows import InputError
from pipeline.config import configuration
from pipeline.terminal import Terminal, printable
from trainer.errors import ConfigError
from trainer.features import MEANS_0, MEANS_1

# Rows that are looked at, and most different values of a label that names classes.
_ROWS = 1_000
_CLASSES = 20
_BINARY = MEANS_0 | MEANS_1 | {"0.0", "1.0"}
_LABELS = re.compile(r"label|score|target|class|dupl|simil|relat|match|entail|gold|judg|grade|^y$", re.I)
_LETTERS = re.compile(r"[^\W\d_]{2}|\w \w")
# What two columns of a pair differ in.
_SIDES = re.compile(r"[ab12xy]$|left|right|first|second|premise|hypothesis|query|document", re.I)


def is_data(path: Path) -> bool:
    """True where a file is one of rows, by its name."""
    suffix = unzipped(path).suffix.lower()
    return path.is_file() and (suffix in FORMATS or suffix in OTHERS)


def offer(path: Path, terminal: Terminal) -> None:
    """Proposes a configuration: on a terminal writes it where that is wanted, else prints it.

    Raises:
      ConfigError: always but where it was written: data is no configuration.
    """
    text, target = propose(path), Path(f"{name_of(path)}.toml")
    if terminal.console.is_terminal and sys.stdin.isatty() and not target.exists():
        terminal.say(f"{path} is data, no configuration. This one fits it:")
        for line in text.splitlines():
            terminal.say(f"  {line}")
        if typer.confirm(printable(f"Write {target}?"), err=True):
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
            terminal.result(f"{target}: written: look at it, then call kembar run {target}")
            return
    else:
        terminal.result(text.rstrip())
    raise ConfigError(
        f"{path}: is data, no configuration: save what is proposed for it as {target} "
        f"(kembar run {shlex.quote(str(path))} > {target}), then call kembar run {target}"
    )


def propose(path: Path) -> str:
    """The TOML of a configuration for a file of pairs with a label; its path is relative to this folder.

    Raises:
      ConfigError: the file cannot be read, or no two columns of text and no label are seen in it.
    """
    if any(ord(sign) < 32 for sign in str(path)):
        raise ConfigError(
            f"{path}: is data, no configuration, and none can be proposed: there is a control character in "
            "its path: rename it"
        )
    try:
        kind: Any = FORMATS.get(unzipped(path).suffix.lower(), "csv")
        table = open_table(path, DataSection.model_construct(format=kind), [()])
        read = list(itertools.islice(table.rows(), _ROWS))
    except InputError as error:
        raise ConfigError(error.fault) from None
    rows = [row.values for row in read if not row.problem]
    if read and not rows:
        raise ConfigError(
            f"{path}: is data, no configuration, and none can be proposed: no row can be read: "
            f"{read[0].problem}: write one by hand, as docs/data.md shows"
        )
    columns = {name: [value for row in rows if (value := row.get(name)) is not None] for name in table.names}
    texts = _texts(columns)
    label = None if texts is None else _label({n: v for n, v in columns.items() if n not in texts})
    if texts is None or label is None:
        missing = "two columns of text" if texts is None else "a label"
        raise ConfigError(
            f"{path}: is data, no configuration, and none can be proposed: no column looks like {missing} "
            f"among {', '.join(table.names) or 'none'}: write one by hand, as docs/data.md shows"
        )
    text = _PROPOSED.format(
        name=name_of(path),
        format=table.data.format,
        path=_toml(str(path)),
        text_a=_toml(texts[0]),
        text_b=_toml(texts[1]),
        label=label,
    )
    configuration.validate(tomllib.loads(text), str(path))
    return text


_PROPOSED = """\
[pipeline]
name = "{name}"

[data]
format = "{format}"
path = {path}
split = {{ train = 8, eval = 1, test = 1 }}
text_a = {text_a}
text_b = {text_b}
label = {label}
"""


def name_of(path: Path) -> str:
    """A pipeline's name after a file."""
    name = re.sub(r"[^a-z0-9_-]+", "_", unzipped(path).stem.lower()).strip("_-")[:50]
    return name if name[:1].isalpha() else f"data_{name}".rstrip("_")


def _texts(columns: dict[str, list[Any]]) -> tuple[str, str] | None:
    """Of the columns of words the two whose names are a pair's, or else the two with the longest texts."""
    words = {name: [value for value in all_ if isinstance(value, str)] for name, all_ in columns.items()}
    lengths = {
        name: sum(map(len, values)) / len(values)
        for name, values in words.items()
        if values and _are_most(values, columns[name]) and _are_words(values)
    }
    if len(lengths) < 2:
        return None
    for first, second in itertools.combinations(lengths, 2):
        if first != second and _SIDES.sub("", first) == _SIDES.sub("", second):
            return first, second
    longest = sorted(lengths, key=lambda name: -lengths[name])[:2]
    first, second = (name for name in lengths if name in longest)
    return first, second


def _are_words(values: Sequence[str]) -> bool:
    """True where most values are words, and not a few that come again and again."""
    with_letters = sum(_LETTERS.search(value) is not None for value in values)
    return with_letters > len(values) / 2 and len(set(values)) > min(_CLASSES, len(values) / 4)


def _label(columns: dict[str, list[Any]]) -> str | None:
    """An inline table for the column whose name is a label's, or else for the last that may be one."""
    named = [name for name in columns if _LABELS.search(name)]
    for name in (*named, *reversed([name for name in columns if name not in named])):
        kind = _kind([str(value).strip() for value in columns[name] if value != ""])
        if kind is not None and (name in named or "range" not in kind):
            return f"{{ column = {_toml(name)}, {kind} }}"
    return None


def _kind(values: list[str]) -> str | None:
    different = set(values)
    if len(different) < 2:
        return None
    binary = [value for value in values if value.lower() in _BINARY]
    if _are_most(binary, values) and not any(
        math.isfinite(_number(value)) for value in different - set(binary)
    ):
        return 'kind = "binary"'
    numbers = [number for value in values if math.isfinite(number := _number(value))]
    if _are_most(numbers, values) and len(set(numbers)) > 1:
        return f'kind = "score", range = [{math.floor(min(numbers))}, {math.ceil(max(numbers))}]'
    if len(different) > _CLASSES:
        return None
    return f'kind = "classes", classes = [{", ".join(_toml(value) for value in sorted(different))}]'


def _are_most(good: Sequence[Any], values: Sequence[Any]) -> bool:
    """True where the other `values` are slips of the pen: so few that a run sets them aside."""
    return len(values) - len(good) <= DataSection.model_fields["max_quarantined"].default * len(values)


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _toml(text: str) -> str:
    """A basic string, whose escapes are those of JSON; TOML wants that of delete too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
