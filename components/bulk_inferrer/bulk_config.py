"""The `[bulk]` section: rows that have no label yet."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from components.example_gen.data_config import DataSection, Names, Source
from trainer.section import Section, SectionMistake

SPLIT = "bulk"
# In the counts: rows that can be used.
KEPT_ROWS = "kept"
# Features beside those of the model: the file, and the row's line or number in it, from 1.
FILE, LINE = "file", "line"
# The copy of what comes out, in the work folder.
RESULT = "bulk.parquet"


class Bulk(Section):
    """Rows that the pushed model answers at the end of a run; read as `[data]` says, but for the label."""

    input: Source = Field(description="a file, a pattern or a list of them")
    columns: Names | None = Field(
        None, description="the columns' names, where the files have no header and not the columns of [data]"
    )

    def data(self, data: DataSection) -> DataSection:
        """The section by which the rows are read: `data` with other files and no label.

        Raises:
          ValueError: `columns` does not fit `data`.
        """
        others = ("train", "eval", "test", "pattern", "spans", "split", "label")
        own: dict[str, Any] = {"path": self.input, **dict.fromkeys(others)}
        if self.columns is not None:
            own["columns"] = self.columns
        try:
            return DataSection.model_validate({**data.model_dump(), **own})
        except ValidationError as error:
            first, *_ = error.errors(include_url=False)
            message = first["msg"].removeprefix("Value error, ")
            raise SectionMistake(f"[bulk] does not fit [data]: {message}") from None
