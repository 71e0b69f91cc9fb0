"""Where a pipeline keeps what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config


@dataclass(frozen=True)
class Workdir:
    """The paths under one pipeline's folder, `runs/NAME` unless told otherwise.

    Attributes:
      root: The folder.
      serving: The folder of the versions.
      name: The model's name in requests; the name of that folder unless told otherwise.
    """

    root: Path
    serving: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.serving.name)

    @classmethod
    def of(cls, config: Config, root: Path | None) -> Workdir:
        """The folder of a configuration; paths are absolute."""
        base = (root or Path("runs") / config.pipeline.name).absolute()
        name = config.pipeline.name
        return cls(base, config.serving.directory or base / "serving" / name, name)

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
