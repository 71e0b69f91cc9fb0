"""What one run reads and trains on, decided before it starts: all of its steps are told the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.example_gen.spans import Carry


@dataclass(frozen=True)
class Plan:
    """One run. Of data without spans only `asked` is used."""

    files: tuple[Path, ...] = (Path("span"),)
    """of the span that is read; one that is not there where nothing is read, as in compiling"""
    carry: Carry | None = None
    window: dict[int, str] = field(default_factory=dict)
    """the spans that are trained on: number to fingerprint of its files"""
    asked: str = ""
    """a reason to train that is known before"""

    def to_json(self) -> dict[str, Any]:
        """For the record of a run."""
        carry = None if self.carry is None else asdict(self.carry)
        return {"files": [str(file) for file in self.files], "carry": carry, "window": self.window,
                "asked": self.asked}  # fmt: skip

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Plan:
        """As it was written."""
        return cls(
            tuple(map(Path, told["files"])),
            None if told["carry"] is None else Carry(**told["carry"]),
            {int(span): files for span, files in told["window"].items()},
            told["asked"],
        )
