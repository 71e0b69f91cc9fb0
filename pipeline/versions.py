"""`kembar versions` and `kembar rollback`: what was pushed, what is in service, and going back."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table

from components.atomic_pusher.pins import CANARY, FILE, STABLE, Pins, read_pins, write_pins
from components.atomic_pusher.versions import checksum, digests, in_service, read_log, versions
from pipeline.terminal import Terminal
from pipeline.workdir import Workdir
from trainer.errors import ConfigError, ServingError
from trainer.undefined import load, text

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
        measured = load(entry.get("metrics", {}).get("test", {}))
        shown = " ".join(f"{name} {text(value)}" for name, value in sorted(measured.items()))
        table.add_row(str(version), pushed, ", ".join([state, *labels]), shown, entry.get("sha256", "")[:12])
    terminal.table(table)


def rollback(
    workdir: Workdir,
    name: str,
    to: str | None,
    canary: int | None,
    terminal: Terminal,
    mirror: str | None = None,
) -> None:
    """Pins a version in TF Serving's model config file, or lifts the pin; then in the mirror's too.

    Args:
      workdir: Where the versions are.
      name: The served model's name.
      to: A version; "latest" for no pin; None for the one before the version in service.
      canary: A version that is loaded beside it, for clients that ask for the label.
      terminal: Where the result goes.
      mirror: `[serving] mirror`.

    Raises:
      ConfigError: `to` or `canary` is no version that is there.
      ServingError: there is nothing to go back to, its files have changed since the push, or the mirror
        cannot be written.
    """
    base = workdir.serving
    present = versions(base)
    if not present:
        raise _nothing(workdir)
    if to == LATEST:
        if canary is not None:
            raise ConfigError("--canary: there is none beside --to latest: the newest version serves alone")
        files = _pin(workdir, name, None, mirror, terminal)
        terminal.result(f"{name}: version {present[-1]} in service, and every newer one: {files}")
        return
    target = _before(workdir, present) if to is None else _known(workdir, "--to", to, present)
    labels = {STABLE: target}
    if canary is not None:
        labels[CANARY] = _known(workdir, "--canary", str(canary), present)
        if canary == target:
            raise ConfigError(f"--canary {canary}: is the stable version: name another")
    for version in labels.values():
        _check(workdir, version)
    files = _pin(workdir, name, Pins(tuple(sorted(labels.values())), labels), mirror, terminal)
    beside = f", version {canary} as canary" if canary is not None else ""
    terminal.result(f"{name}: version {target} in service{beside}, until `--to latest`: {files}")


def _pin(workdir: Workdir, name: str, pins: Pins | None, mirror: str | None, terminal: Terminal) -> str:
    """Writes the pins here and in the mirror; the files that say them."""
    file = write_pins(workdir.serving, name, pins)
    if mirror is None:
        return str(file)
    with terminal.noise_to(workdir.root / "rollback.log"):
        from components.atomic_pusher.mirror import mirror as copy  # brings TFX

        try:
            copy(workdir.serving, mirror, name)
        except Exception as error:  # whatever the file system's library raises
            said = " ".join(str(error).split())
            raise ServingError(f"{mirror}: pinned in {file}, but not there: {said}: run it again") from error
    return f"{file}, {mirror.rstrip('/')}/{FILE}"


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
