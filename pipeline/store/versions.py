"""`kembar versions` and `kembar rollback`: what was pushed, what is in service, and going back."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from components.version_folder.log import damage, defect, numbered, read_log
from components.version_folder.pins import CANARY, FILE, STABLE, Pins, read_pins, write_pins
from components.version_folder.push import in_service, versions
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError, ServingError
from trainer.files import exclusive
from trainer.undefined import load, text

LATEST = "latest"


def show(workdir: Workdir, terminal: Terminal) -> None:
    """Prints one line a version, newest last; then what is wrong with any.

    Raises:
      ServingError: when nothing has been pushed.
    """
    base = workdir.serving
    present = numbered(base)
    log = {entry["version"]: entry for entry in read_log(base)}
    if not present and not log:
        raise _nothing(workdir)
    table = Table("version", "pushed", "state", "test metrics", "sha256", box=None, pad_edge=False)
    served, pins = in_service(base, workdir.name), read_pins(base, workdir.name) or Pins()
    wrong = problems(workdir)
    for version in sorted({*present, *log}):
        entry = log.get(version, {})
        state = "gone" if version not in present else "in service" if version == served else "kept"
        if version in wrong:
            state = "damaged" if entry else "no version"
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
    for why in wrong.values():
        terminal.say(f"warning: {why}")


def problems(workdir: Workdir) -> dict[int, str]:
    """Return the faults of numbered folders, by their numbers: no SavedModel, or not what was pushed.

    Raises:
      ServingError: the log of versions cannot be read.
    """
    faults = {}
    served = in_service(workdir.serving, workdir.name)
    logged = {entry["version"] for entry in read_log(workdir.serving)}
    for version, folder in numbered(workdir.serving).items():
        why = defect(folder)
        if why and version in logged:
            faults[version] = f"{folder}: {why}: its files have changed: `kembar run` pushes it again"
        elif why:
            faults[version] = f"{folder}: {why}, so it is no version: remove it or mend it"
        elif why := damage(workdir.serving, version, folder):
            newer = served is not None and served > version
            faults[version] = f"{folder}: {why}: " + (
                "remove it" if newer else "`kembar run` pushes it again"
            )
    return faults


def rollback(
    workdir: Workdir,
    name: str,
    to: str | None,
    canary: int | None,
    terminal: Terminal,
    mirror: str | None = None,
    wait: float = 0.0,
) -> None:
    """Pins a version in TF Serving's model config file, or lifts the pin; then in the mirror's too.

    Args:
      workdir: Where the versions are.
      name: The served model's name.
      to: A version; "latest" for no pin; None for the one before the version in service.
      canary: A version that is loaded beside it, for clients that ask for the label.
      terminal: Where the result goes.
      mirror: `[serving] mirror`.
      wait: Seconds between two steps: first what is to answer is loaded beside what answers, then labels
        move. TF Serving refuses a label of a version that it has not loaded.

    Raises:
      ConfigError: `to` or `canary` is no version that is there.
      ServingError: there is nothing to go back to, its files have changed since the push, or the mirror
        cannot be written.
    """
    if not versions(workdir.serving):
        raise _nothing(workdir)
    # One lock from the look at what is there to the pin: no version that is pinned goes meanwhile.
    if wait:
        with exclusive(workdir.serving):
            pins, _ = _decide(workdir, to, canary)
            file = write_pins(workdir.serving, name, _between(workdir, pins))
        if mirror is not None:
            _mirror(workdir, name, mirror, file, terminal)
        time.sleep(wait)
    with exclusive(workdir.serving):
        pins, state = _decide(workdir, to, canary)
        file = write_pins(workdir.serving, name, pins)
    files = str(file) if mirror is None else f"{file}, {_mirror(workdir, name, mirror, file, terminal)}"
    terminal.result(f"{name}: {state}: {files}")


def _between(workdir: Workdir, pins: Pins | None) -> Pins | None:
    """Return the pins and labels of now, with the versions that are to come."""
    if pins is None:
        return None
    now = read_pins(workdir.serving, workdir.name) or Pins()
    served = now.versions or tuple(versions(workdir.serving)[-1:])
    return Pins(tuple(sorted({*served, *pins.versions})), now.labels)


def _decide(workdir: Workdir, to: str | None, canary: int | None) -> tuple[Pins | None, str]:
    """Return the pins to write, and the state that they make in words."""
    present = versions(workdir.serving)
    if to == LATEST:
        if canary is not None:
            raise ConfigError("--canary: there is none beside --to latest: the newest version serves alone")
        return None, f"version {present[-1]} in service, and every newer one"
    target = _before(workdir, present) if to is None else _known(workdir, "--to", to, present)
    labels = {STABLE: target}
    if canary is not None:
        labels[CANARY] = _known(workdir, "--canary", str(canary), present)
        if canary == target:
            raise ConfigError(f"--canary {canary}: is the stable version: name another")
    for version in labels.values():
        if why := damage(workdir.serving, version):
            raise ServingError(f"{workdir.serving / str(version)}: {why}: choose another version")
    beside = f", version {canary} as canary" if canary is not None else ""
    return (
        Pins(tuple(sorted(labels.values())), labels),
        f"version {target} in service{beside}, until `--to latest`",
    )


def _mirror(workdir: Workdir, name: str, mirror: str, file: Path, terminal: Terminal) -> str:
    """Writes the pins in the mirror too; the file that says them there."""
    with terminal.noise_to(workdir.root / "rollback.log"):
        from components.version_folder.mirror import mirror as copy  # brings TFX

        try:
            copy(workdir.serving, mirror, name)
        except Exception as error:  # whatever the file system's library raises
            cause = " ".join(str(error).split())
            raise ServingError(f"{mirror}: pinned in {file}, but not there: {cause}: run it again") from error
    return f"{mirror.rstrip('/')}/{FILE}"


def _before(workdir: Workdir, present: list[int]) -> int:
    served = in_service(workdir.serving, workdir.name)
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


def _nothing(workdir: Workdir) -> ServingError:
    return ServingError(f"{workdir.serving}: no version yet: run `kembar run CONFIG`")
