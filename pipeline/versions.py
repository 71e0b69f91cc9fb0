"""`kembar versions` and `kembar rollback`: what was pushed, what is in service, and going back."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table

from components.atomic_pusher.pins import CANARY, STABLE, Pins, read_pins, write_pins
from components.atomic_pusher.versions import checksum, digests, in_service, read_log, versions
from pipeline.terminal import Terminal
from pipeline.workdir import Workdir
from trainer.errors import ConfigError, ServingError

LATEST = "latest"


def show(workdir: Workdir, terminal: Terminal) -> None:
    """Prints one line a version, newest last.

    Raises:
      ServingError: when nothing has been pushed.
    """
    present = versions(workdir.serving)
    log = {entry["version"]: entry for entry in read_log(workdir.serving)}
    if not present and not log:
        raise _nothing(workdir)
    table = Table("version", "pushed", "state", "test metrics", "sha256", box=None, pad_edge=False)
    served, pins = in_service(workdir.serving), read_pins(workdir.serving) or Pins()
    for version in sorted({*present, *log}):
        entry = log.get(version, {})
        state = "gone" if version not in present else "in service" if version == served else "kept"
        labels = [label for label, labelled in pins.labels.items() if labelled == version]
        if version in pins.versions and not labels:
            labels = ["pinned"]
        pushed = (
            datetime.fromtimestamp(entry["pushed"], UTC).isoformat(timespec="seconds") if entry else "unknown"
        )
        measured = entry.get("metrics", {}).get("test", {})
        shown = " ".join(f"{name} {value:.4f}" for name, value in sorted(measured.items()))
        table.add_row(str(version), pushed, ", ".join([state, *labels]), shown, entry.get("sha256", "")[:12])
    terminal.table(table)


def rollback(workdir: Workdir, name: str, to: str | None, canary: int | None, terminal: Terminal) -> None:
    """Pins a version in TF Serving's model config file, or lifts the pin.

    Args:
      workdir: Where the versions are.
      name: The served model's name.
      to: A version; "latest" for no pin; None for the one before the version in service.
      canary: A version that is loaded beside it, for clients that ask for the label.

    Raises:
      ConfigError: `to` or `canary` is no version that is there.
      ServingError: there is nothing to go back to, or its files have changed since the push.
    """
    base = workdir.serving
    present = versions(base)
    if not present:
        raise _nothing(workdir)
    if to == LATEST:
        if canary is not None:
            raise ConfigError("--canary: there is none beside --to latest: the newest version serves alone")
        file = write_pins(base, name, None)
        terminal.result(f"{name}: version {present[-1]} in service, and every newer one: {file}")
        return
    target = _before(workdir, present) if to is None else _known(workdir, "--to", to, present)
    labels = {STABLE: target}
    if canary is not None:
        labels[CANARY] = _known(workdir, "--canary", str(canary), present)
        if canary == target:
            raise ConfigError(f"--canary {canary}: is the stable version: name another")
    for version in labels.values():
        _check(workdir, version)
    file = write_pins(base, name, Pins(tuple(sorted(labels.values())), labels))
    beside = f", version {canary} as canary" if canary is not None else ""
    terminal.result(f"{name}: version {target} in service{beside}, until `--to latest`: {file}")


def _before(workdir: Workdir, present: list[int]) -> int:
    served = in_service(workdir.serving)
    earlier = [version for version in present if served is not None and version < served]
    if not earlier:
        raise ServingError(f"{workdir.serving}: no version before {served}: name one with --to")
    return earlier[-1]


def _known(workdir: Workdir, option: str, written: str, present: list[int]) -> int:
    version = int(written) if written.isascii() and written.isdigit() else None
    if version not in present:
        known = ", ".join(map(str, present))
        raise ConfigError(f"{option} {written}: no such version in {workdir.serving}: there are {known}")
    return int(written)


def _check(workdir: Workdir, version: int) -> None:
    for entry in read_log(workdir.serving):
        if entry["version"] == version:
            found = checksum(digests(workdir.serving / str(version)))
            if found != entry["sha256"]:
                raise ServingError(
                    f"{workdir.serving / str(version)}: SHA-256 {found[:12]}, {entry['sha256'][:12]} when it "
                    "was pushed: its files have changed: choose another version"
                )


def _nothing(workdir: Workdir) -> ServingError:
    return ServingError(f"{workdir.serving}: no version yet: run `kembar run CONFIG`")
