"""Where a pipeline keeps what it makes."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.configuration import Config
from trainer.errors import ConfigError


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
        """The folder of a configuration; paths are absolute.

        Raises:
          ConfigError: a file is where the folder belongs.
        """
        base = (root or Path("runs") / config.pipeline.name).absolute()
        try:
            str(base).encode()
        except UnicodeEncodeError:
            raise ConfigError(f"--workdir {base}: is not UTF-8: give it another name") from None
        there = next(part for part in (base, *base.parents) if os.path.lexists(part))
        if not there.is_dir():
            raise ConfigError(f"--workdir {base}: {there} is no folder: name another")
        base, name = _without_brackets(base), config.pipeline.name
        directory = config.serving.directory
        serving = base / "serving" / name if directory is None else _without_brackets(directory)
        return cls(base, serving, name)

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
        """The file of what TFX and TensorFlow print during a run."""
        return self.root / "run.log"


def _without_brackets(folder: Path) -> Path:
    """The folder, or a link to it where TensorFlow would take its name for a pattern.

    TensorFlow and TFX look for files by patterns that begin with the folder's path, and `[` cannot be escaped
    in them. The link has the same name every time, so that what was recorded under it is found again.
    """
    if "[" not in str(folder):
        return folder
    links = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kembar" / "folders"
    links.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(parents=True, exist_ok=True)
    link = links / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    with suppress(FileExistsError):
        link.symlink_to(folder)
    return link
