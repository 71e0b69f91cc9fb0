"""Where a pipeline keeps what it makes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from trainer.errors import ConfigError


@dataclass(frozen=True)
class Workdir:
    """The paths under one pipeline's folder, `runs/NAME` unless told otherwise."""

    root: Path
    serving: Path

    @classmethod
    def of(cls, config: Config, root: Path | None) -> Workdir:
        """The folder of a configuration; paths are absolute.

        Raises:
          ConfigError: a file is where the folder belongs.
        """
        base = (root or Path("runs") / config.pipeline.name).absolute()
        there = next(part for part in (base, *base.parents) if os.path.lexists(part))
        if not there.is_dir():
            raise ConfigError(f"--workdir {base}: {there} is no folder: name another")
        return cls(base, config.serving.directory or base / "serving" / config.pipeline.name)

    @property
    def artifacts(self) -> Path:
        """TFX's pipeline root."""
        return self.root / "artifacts"

    @property
    def metadata(self) -> Path:
        """ML Metadata's SQLite file."""
        return self.root / "metadata.sqlite"

    @property
    def log(self) -> Path:
        """What TFX and TensorFlow print during a run."""
        return self.root / "run.log"
