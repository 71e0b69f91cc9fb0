"""TOML of a person's hand into tables: whatever is wrong with it is one line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError

# No configuration is so long: what is was meant to be something else, and is not read to its end.
_LARGEST = 4 * 2**20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LINE = re.compile(r"at line (\d+)")
_DEEPEST = 50
# Characters of a line that are shown.
_SHOWN = 80
_ESCAPE = "in double quotes \\ begins an escape: write / in its place, or single quotes around it"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
      ConfigError: the file is missing, cannot be read, or is no TOML in UTF-8.
    """
    content = _read(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        known = "it is UTF-16" if content.startswith(_UTF_16) else f"not UTF-8 in line {line}"
        raise ConfigError(f"{path}: cannot be read: {known}: save it as UTF-8") from None
    if "\0" in text:
        raise ConfigError(
            f"{path}: cannot be read: no text: give the path of a configuration, such as configs/sts.toml"
        )
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{path}: not valid TOML: nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        data = "" if path.suffix == ".toml" else f": is it data? kembar run {path} proposes a configuration"
        raise ConfigError(f"{path}: not valid TOML: {error}{_shown(text, str(error))}{data}") from None
    except ValueError:  # Python's guard against numbers that take ages to read
        raise ConfigError(f"{path}: not valid TOML: a number of thousands of digits") from None
    if is_deep(values):
        raise ConfigError(f"{path}: not valid TOML: nested too deeply")
    return values


def parse_value(text: str) -> Any:
    """A value as TOML writes it; a string may stand without quotes."""
    try:
        values = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return values["value"] if len(values) == 1 else text


def is_deep(value: Any) -> bool:
    """True where tables and lists are nested deeper than in any configuration, as dotted keys can be."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (
                outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()
            )
        ]
        if not level:
            return False
    return True


def check_strings(values: dict[str, Any], source: str) -> None:
    """Refuse a string that cannot be written down, because bytes of an argument or a folder are no UTF-8.

    Raises:
      ConfigError: naming `source` and the key.
    """
    for keys, text in _strings(values, ()):
        if any("\ud800" <= letter < "\ue000" for letter in text):
            key = f"[{keys[0]}] {'.'.join(keys[1:])}".strip()
            raise ConfigError(f"{source}: {key} = {text!r}: is not UTF-8: give it another name")


def _read(path: Path) -> bytes:
    if path.is_fifo() and not str(path).startswith("/dev/fd/"):  # what a shell opens has a writer
        raise ConfigError(f"{path}: cannot be read: a pipe: write the configuration into a file")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise ConfigError(f"{path}: is a link to {os.readlink(path)}, which is not there") from None
        raise ConfigError(
            f"{path}: no such file: give the path of a configuration, such as configs/sts.toml"
        ) from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path}: cannot be read: a folder: give the path of a configuration in it"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise ConfigError(
            f"{path}: has more than {_LARGEST:,} bytes, and no configuration has: is it the data?"
        )
    return content


def _shown(text: str, message: str) -> str:
    """The line of a mistake, and what it may be."""
    number = _LINE.search(message)
    lines = text.split("\n")
    line = lines[int(number[1]) - 1].strip() if number and int(number[1]) <= len(lines) else ""
    shown = f": {line if len(line) <= _SHOWN else f'{line[:_SHOWN]}…'}" if line else ""
    return f"{shown}: {_ESCAPE}" if '"' in line and "\\" in line else shown


def _strings(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*keys, "key"), key
            yield from _strings(inner, (*keys, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, keys)
    elif isinstance(value, str):
        yield keys, value
