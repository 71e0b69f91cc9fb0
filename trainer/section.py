"""The base class of all sections of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict

# Marks, in `Annotated`, a text that is a path all the same, such as one with a span's number in it.
IS_PATH = "a path of this machine"


class SectionMistake(ValueError):
    """Sections that do not go together, for pydantic to collect: the message begins with `[section]`."""


class Section(BaseModel):
    """A frozen section of the configuration; unknown keys are errors, and so are `nan` and `inf`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def path_keys(section: type[BaseModel], name: str = "") -> Iterator[tuple[str, str]]:
    """Yield section and key of every path in a section, its tables and all kinds that they can be of."""
    for key, field in section.model_fields.items():
        types: list[object] = [*_parts(field.annotation), *field.metadata]
        if Path in types or IS_PATH in types:
            yield name, key
        for table in types:
            if isinstance(table, type) and issubclass(table, BaseModel):
                yield from path_keys(table, f"{name}.{key}" if name else key)


def _parts(annotation: object) -> Iterator[object]:
    """Yield a type, and all that it is made of: members of unions, elements, marks."""
    yield annotation
    parts: tuple[object, ...] = get_args(annotation)
    for part in parts:
        yield from _parts(part)
