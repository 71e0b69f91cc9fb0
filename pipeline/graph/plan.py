"""The plan of one run: the data that it reads and trains on. It is made before the run starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.example_gen.spans import Carry


@dataclass(frozen=True)
class Plan:
    """One run. Of data without spans only `reason` is used."""

    files: tuple[Path, ...] = (Path("span"),)
    """of the span that is read; one that is not there where nothing is read, as in compiling"""
    carry: Carry | None = None
    window: dict[int, str] = field(default_factory=dict)
    """the spans that are trained on: number to fingerprint of its files"""
    reason: str = ""
    """a reason to train that is known before"""

    def to_json(self) -> dict[str, Any]:
        """For the record of a run."""
        carry = None if self.carry is None else asdict(self.carry)
        return {"files": [str(file) for file in self.files], "carry": carry, "window": self.window,
                "asked": self.reason}  # fmt: skip

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Plan:
        """As it was written."""
        return cls(
            tuple(map(Path, record["files"])),
            None if record["carry"] is None else Carry(**record["carry"]),
            {int(span): files for span, files in record["window"].items()},
            record["asked"],
        )
