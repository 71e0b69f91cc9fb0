"""The `[data]` section: where the rows are and what their columns mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from components.example_gen.column_names import Names
from components.example_gen.paths import matching, without_aliases
from components.example_gen.spans import Pattern, Spans
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR, Label
from trainer.section import Section

SPLITS = ("train", "eval", "test")
_SIGNS = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
# Keys that say how fields are parted, which other formats have no need of.
_DELIMITED = ("delimiter", "quote", "escape", "decimal")


def _as_list(files: object) -> object:
    """One file is a list of one."""
    return files if isinstance(files, list | tuple) else (files,)


def _as_sign(written: object) -> object:
    """`'\t'` between single quotes, and the names of the common signs, for the sign."""
    return _SIGNS.get(written.lower(), written) if isinstance(written, str) else written


Sign = Annotated[str, BeforeValidator(_as_sign), Field(min_length=1)]
Source = Annotated[tuple[Path, ...], BeforeValidator(_as_list), Field(min_length=1)]
Values = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class Vector(Section):
    """Numbers of one example: a column of lists, or one column a number."""

    column: str | None = Field(None, description="a column that holds lists of numbers")
    columns: Names | None = Field(
        None, description="columns of numbers; 'p0..p63' stands for 64 of them, as do '0..63' and 'p00..p63'"
    )
    dimension: PositiveInt
    range: tuple[float, float] | None = Field(None, description="lowest and highest value allowed")

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each number."""
        return self.columns or tuple(f"{self.column}[{at}]" for at in range(self.dimension))

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        if (self.column is None) == (self.columns is None):
            raise ValueError(
                "a vector comes from one list column (column) or from columns: give one of the two"
            )
        if self.columns is not None and len(self.columns) != self.dimension:
            odd = next((name for name in self.columns if ".." in name), None)
            run = "" if odd is None else f": {odd!r} is one name, and a run has it whole twice, as 'p0..p63'"
            raise ValueError(f"dimension = {self.dimension}, but {len(self.columns)} columns are named{run}")
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise ValueError(f"column {twice!r} is named twice: name each once")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range must rise, got {list(self.range)}")
        return self


class Split(Section):
    """The division of a single source: parts that each split gets of all."""

    train: PositiveInt = 8
    eval: PositiveInt = 1
    test: PositiveInt = 1
    groups: Literal["growing", "whole"] = Field(
        "growing",
        description="growing: appended rows move no other row, and one whose texts stand in two splits is "
        "set aside; whole: every row has a place, and an appended row that joins two groups moves one",
    )


class DataSection(Section):
    """Files, and the columns to take from them.

    Either one source a split (`train`, `eval`, `test`), or one for all (`path`) divided by `split`. A source
    is a file, a pattern such as `pairs-*.csv`, or a list of them; its files are read in the order of their
    names. Paths are relative to the configuration file; `package:NAME/FILE` is a file inside an installed
    Python package, read in place.
    """

    format: Literal["csv", "tsv", "jsonl", "parquet", "tfrecord"]
    train: Source | None = None
    eval: Source | None = None
    test: Source | None = None
    path: Source | None = None
    pattern: Pattern | None = Field(
        None, description="files of each span, by {SPAN}, or of each day, by {YYYY}, {MM} and {DD}"
    )
    spans: Spans | None = None
    split: Split | None = None
    header: bool = True
    columns: Names | None = Field(None, description="the columns' names, where header = false")
    delimiter: Sign | None = Field(
        None, description="what stands between two fields of csv and tsv; none: it is looked up in each file"
    )
    quoting: bool = True
    quote: Sign | None = Field(None, description="the character that encloses fields; none: looked up")
    escape: Sign | None = Field(
        None, description="takes the meaning from the character behind it; none: looked up"
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="of labels and vectors in csv and tsv; none: looked up"
    )
    null: Values = Field(("\\N",), description="values that stand for nothing, as an empty one does")
    encoding: str | None = Field(None, description="none: looked up; a byte order mark goes before it")
    extra_fields: Literal["quarantine", "ignore"] = "quarantine"
    text_a: str | None = None
    text_b: str | None = None
    vector: Vector | None = None
    label: Label | None = None
    max_text_length: PositiveInt = Field(100_000, description="characters; longer texts are quarantined")
    conflicting_labels: Literal["quarantine", "keep"] = Field(
        "quarantine",
        description="a pair that came before with another class; scores may differ from row to row",
    )
    max_quarantined: float = Field(
        0.05, ge=0, le=1, description="share of rows above which a run is rejected"
    )
    schema_file: Path | None = None
    schema_text: str | None = Field(None, description="the schema itself, in place of a file")

    @model_validator(mode="after")
    def _files_are_given(self) -> Self:
        given = [split for split in SPLITS if getattr(self, split) is not None]
        whole = [key for key in ("path", "pattern") if getattr(self, key) is not None]
        if len(whole) > 1:
            raise ValueError("path is all of the data, pattern one span of it: remove one of the two")
        if whole and given:
            raise ValueError(
                f"{whole[0]} is divided into splits by split; {', '.join(given)} cannot be given too"
            )
        if not whole and len(given) < len(SPLITS):
            missing = ", ".join(split for split in SPLITS if split not in given)
            raise ValueError(f"{missing} missing: give one file a split, or path for one source of all")
        if not whole and self.split is not None:
            raise ValueError("split divides path or pattern, and neither is given")
        if self.pattern is None and self.spans is not None:
            raise ValueError("spans is about the files of pattern, which is not given")
        if self.pattern is not None and self.split is not None and self.split.groups == "whole":
            raise ValueError("groups = 'whole' moves rows of earlier spans: use 'growing', or leave it out")
        label = self.label
        if self.pattern is not None and label is not None and label.positive and not label.negative:
            raise ValueError("spans come one by one, so label positive needs negative, what means 0")
        if self.schema_file is not None and self.schema_text is not None:
            raise ValueError("schema_text stands in place of schema_file: remove one of the two")
        return self

    @model_validator(mode="after")
    def _features_are_given(self) -> Self:
        texts = [key for key in (TEXT_A, TEXT_B) if getattr(self, key) is not None]
        if self.vector is not None and texts:
            raise ValueError(f"rows are pairs of texts or vectors, not both: remove vector or {texts[0]}")
        if self.vector is None and len(texts) < 2:
            raise ValueError("name the columns text_a and text_b, or vector")
        if texts and self.text_a == self.text_b:
            raise ValueError(f"text_a and text_b are the same column {self.text_a!r}: name another for one")
        if self.vector is not None and self.vector.column is not None and self.format in ("csv", "tsv"):
            raise ValueError(f"format = {self.format!r} has no list columns: give vector columns")
        return self

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        if self.header and self.columns is not None:
            raise ValueError("columns is for files without a header: set header = false or remove columns")
        if not self.header:
            if self.columns is None:
                raise ValueError('header = false needs columns = ["...", ...], the fields\' names in order')
            for key, name in self.wanted.items():
                if name not in self.columns:
                    raise ValueError(f"{key} = {name!r} is not among columns = {list(self.columns)}")
                if (count := self.columns.count(name)) > 1:
                    raise ValueError(f"{count} columns are named {name!r}: rename all but one")
        return self

    @model_validator(mode="after")
    def _encoding_is_known(self) -> Self:
        encoding = "utf-8" if self.encoding is None else self.encoding
        try:  # some are known and not for files, such as hex and idna
            "a".encode(encoding).decode(encoding, "surrogateescape")
        except (LookupError, ValueError):
            raise ValueError(
                f"encoding = {encoding!r} is not known to Python, try 'utf-8', or 'cp1252' for Windows' ANSI"
            ) from None
        return self

    @model_validator(mode="after")
    def _signs_fit(self) -> Self:
        given = {key: getattr(self, key) for key in _DELIMITED if getattr(self, key) is not None}
        if given and self.format not in ("csv", "tsv"):
            raise ValueError(f"{next(iter(given))} is for csv and tsv: remove it, or correct format")
        signs = [sign for key, sign in given.items() if key != "decimal"]
        for key, sign in given.items():
            if len(sign) > 1 and (key != "delimiter" or self.quoting or self.escape):
                other = ", or set quoting = false" if key == "delimiter" else ""
                raise ValueError(f"{key} = {sign!r}: give one character{other}")
            if "\n" in sign or "\r" in sign:
                raise ValueError(f"{key} is a line end: give another character")
        if len(set(signs)) < len(signs):
            raise ValueError(f"{', '.join(key for key in given if key != 'decimal')} are the same character")
        if self.quote is not None and not self.quoting:
            raise ValueError("quoting = false leaves quotes as they are: remove it, or quote")
        return self

    @property
    def wanted(self) -> dict[str, str]:
        """The key of the configuration to the column that it names."""
        columns = {TEXT_A: self.text_a, TEXT_B: self.text_b}
        if self.vector is not None:
            columns[VECTOR] = self.vector.column
            columns |= {f"{VECTOR}.columns[{at}]": name for at, name in enumerate(self.vector.columns or ())}
        if self.label is not None:
            columns[f"{LABEL}.column"] = self.label.column
        return {key: name for key, name in columns.items() if name is not None}

    def sources(self) -> dict[str, tuple[Path, ...]]:
        """The key of the configuration to the files and patterns that it names."""
        return {key: files for key in (*SPLITS, "path") if (files := getattr(self, key)) is not None}

    def of_span(self, files: tuple[Path, ...]) -> DataSection:
        """The same data where the files of one span are all."""
        return self.model_copy(update={"path": files, "pattern": None, "spans": None})

    def files(self) -> dict[str, list[Path]]:
        """The key of the configuration to the files that are there, each source's in order of their names.

        A file that several names lead to is there once.
        """
        return {key: without_aliases(_all(names))[0] for key, names in self.sources().items()}

    def aliases(self) -> list[str]:
        """A sentence for every further name of a file, which `files` leaves out."""
        return [line for names in self.sources().values() for line in without_aliases(_all(names))[1]]


def _all(names: tuple[Path, ...]) -> list[str]:
    return [path for name in names for path in matching(name)]
