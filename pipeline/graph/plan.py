"""The plan of one run: the data that it reads and trains on. It is made before the run starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

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
