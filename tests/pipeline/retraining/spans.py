"""A configuration of spans."""

from pathlib import Path

from pipeline.config import configuration
from pipeline.config.configuration import Config


def configure(folder: Path, **sections) -> Config:
    """A configuration of spans in `folder`."""
    data = {
        "format": "csv",
        "pattern": str(folder / "{SPAN}.csv"),
        "text_a": "a",
        "text_b": "b",
        "label": {"column": "score", "kind": "score", "range": [0, 5]},
        **sections.pop("data", {}),
    }
    return configuration.validate({"pipeline": {"name": "twins"}, "data": data, **sections}, "twins.toml")
