"""Files that a person names with `--output`."""

from __future__ import annotations

from pathlib import Path

from trainer.errors import ConfigError
from trainer.files import replace_file


def write_output(path: Path, content: str | bytes) -> None:
    """Writes a whole file, or to a device such as /dev/null; a link stays, and its file is replaced.

    Raises:
      ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise ConfigError(
            f"--output {path}: cannot be written: {error.strerror}: name another file"
        ) from None


def is_special(path: Path) -> bool:
    """Whether it is there and neither a file nor a folder: a device, a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()
