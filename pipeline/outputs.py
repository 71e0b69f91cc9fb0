"""Files that a person names with `--output`."""

from __future__ import annotations

import re
from pathlib import Path

from components.example_gen.data_config import DataSection
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


# Where a command's own lines go; what libraries print there goes to a log.
_STANDARD = re.compile(r"/dev/std(out|err)|(/dev|/proc/self)/fd/[12]")


def check_not_read(output: Path | None, config: Path, data: DataSection) -> None:
    """Raises ConfigError where `output` is the configuration, a file of its data, or a standard stream."""
    if output is not None and _STANDARD.fullmatch(str(output)):
        raise ConfigError(f"--output {output}: is no file to write: name a file")
    if output is None or not output.is_file():
        return
    for path in (config, *(path for files in data.files().values() for path in files)):
        if path.exists() and output.samefile(path):
            raise ConfigError(f"--output {output}: is a file that is read: name another")


def is_special(path: Path) -> bool:
    """True where it is there and neither a file nor a folder: a device, a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()
