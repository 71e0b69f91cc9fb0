"""A pipeline with a schedule on this machine, and a systemctl that writes down what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands import schedule as commands
from pipeline.scheduling import crontab
from tests.pipeline.twins import SCORED

CONFIG = f"""{SCORED}[schedule]
cron = "30 3 * * mon-fri"
timezone = "Europe/Berlin"
"""
# It keeps which units are on in a file, and what it has loaded in a folder, as systemd would.
SYSTEMCTL = """#!/bin/sh
[ "$1" = --user ] || exit 9
shift
[ -e "$STATE/reachable" ] || { echo "Failed to connect to bus: No medium found" >&2; exit 1; }
case "$1" in
    show-environment) ;;
    is-enabled | is-active) [ -e "$STATE/on-$3" ] ;;
    show)
        [ "$2 $3" = "--property=NeedDaemonReload --value" ] || exit 9
        shift 3
        for unit; do
            cmp -s "$UNITS/$unit" "$STATE/loaded/$unit" && echo no || echo yes
            echo
        done
        ;;
    *)
        echo "$*" >>"$STATE/calls"
        [ ! -e "$STATE/refuse" ] || { echo "Access denied" >&2; exit 1; }
        case "$1" in
            daemon-reload) rm -rf "$STATE/loaded"; cp -R "$UNITS" "$STATE/loaded" ;;
            enable) touch "$STATE/on-$3" ;;
            disable) rm -f "$STATE/on-$3" ;;
        esac
        ;;
esac
"""


class Machine:
    """What the commands find."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "my pipelines" / "100%.toml"
        self.units = root / "xdg" / "systemd" / "user"
        self.cron = root / "cron.d"
        self.state = root / "state"

    def take_calls(self) -> list[str]:
        """What changes systemctl was told to make since the last look."""
        path = self.state / "calls"
        told = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return told


@pytest.fixture
def machine(short_path: Path, monkeypatch: pytest.MonkeyPatch, new_terminal) -> Machine:
    found = Machine(short_path)
    for folder in (found.config.parent, found.state, found.cron, short_path / "bin"):
        folder.mkdir()
    found.config.write_text(CONFIG)
    (found.state / "reachable").touch()
    (short_path / "bin" / "systemctl").write_text(SYSTEMCTL)
    (short_path / "bin" / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{short_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("STATE", str(found.state))
    monkeypatch.setenv("UNITS", str(found.units))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(short_path / "xdg"))
    monkeypatch.setattr(crontab, "FOLDER", found.cron)
    monkeypatch.setattr(commands, "Terminal", new_terminal)
    monkeypatch.chdir(found.config.parent)
    return found
