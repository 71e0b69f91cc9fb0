"""`kembar versions`: what was pushed, and which version is in service."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table

from components.atomic_pusher.versions import read_log, versions
from pipeline.terminal import Terminal
from pipeline.workdir import Workdir
from trainer.errors import ServingError


def show(workdir: Workdir, terminal: Terminal) -> None:
    """Prints one line a version, newest last.

    Raises:
      ServingError: when nothing has been pushed.
    """
    present = versions(workdir.serving)
    log = {entry["version"]: entry for entry in read_log(workdir.serving)}
    if not present and not log:
        raise ServingError(f"{workdir.serving}: no version yet: run `kembar run CONFIG`")
    table = Table("version", "pushed", "state", "test metrics", "sha256", box=None, pad_edge=False)
    for version in sorted({*present, *log}):
        entry = log.get(version, {})
        state = "gone" if version not in present else "in service" if version == present[-1] else "kept"
        pushed = (
            datetime.fromtimestamp(entry["pushed"], UTC).isoformat(timespec="seconds") if entry else "unknown"
        )
        measured = entry.get("metrics", {}).get("test", {})
        shown = " ".join(f"{name} {value:.4f}" for name, value in sorted(measured.items()))
        table.add_row(str(version), pushed, state, shown, entry.get("sha256", "")[:12])
    terminal.table(table)
