"""The `[data]` section: where the rows are and what their columns mean."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from trainer.config import Section
from trainer.features import LABEL, TEXT_A, TEXT_B, Label

SPLITS = ("train", "eval", "test")


class Data(Section):
    """Delimited text, one file a split, and the columns to take from it.

    Paths are relative to the configuration file; `package:NAME/FILE` is a file inside an installed
    Python package, read in place.
    """

    format: Literal["csv", "tsv"]
    train: Path
    eval: Path
    test: Path
    header: bool = True
    columns: tuple[str, ...] | None = Field(None, description="the columns' names, where header = false")
    quoting: bool = True
    encoding: str = "utf-8"
    extra_fields: Literal["quarantine", "ignore"] = "quarantine"
    text_a: str
    text_b: str
    label: Label
    max_text_length: PositiveInt = Field(100_000, description="characters; longer texts are quarantined")
    max_quarantined: float = Field(
        0.05, ge=0, le=1, description="share of rows above which a run is rejected"
    )
    schema_file: Path | None = None

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        if self.header and self.columns is not None:
            raise ValueError(
                "columns names the fields of a file without a header: set header = false or remove columns"
            )
        if not self.header:
            if self.columns is None:
                raise ValueError(
                    'header = false needs columns = ["...", ...], the names of the fields in order'
                )
            for key, name in self.wanted.items():
                if name not in self.columns:
                    raise ValueError(f"{key} = {name!r} is not among columns = {list(self.columns)}")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(
                f"encoding = {self.encoding!r} is not known to Python, try 'utf-8' or 'latin-1'"
            ) from None
        return self

    @property
    def delimiter(self) -> str:
        """What stands between two fields."""
        return "\t" if self.format == "tsv" else ","

    @property
    def wanted(self) -> dict[str, str]:
        """Feature name to the column that it comes from."""
        return {TEXT_A: self.text_a, TEXT_B: self.text_b, LABEL: self.label.column}

    def split_files(self) -> dict[str, Path]:
        """Split name to file."""
        return {split: getattr(self, split) for split in SPLITS}
