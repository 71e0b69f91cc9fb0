"""The lines that a run prints: a step's result when it has ended, and the summary at the end."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.bulk_inferrer.bulk_config import RESULT
from pipeline.config.configuration import Config
from pipeline.store.outcome import grouped
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.undefined import defined, text

if TYPE_CHECKING:
    from pipeline.graph.step_result import StepResult


class StepDisplay:
    """A line for each step that has ended, and a spinner while one runs, where there is a terminal."""

    def __init__(self, terminal: Terminal, total: int) -> None:
        self._terminal = terminal
        self._total = total
        self._done = 0
        self._status = terminal.console.status("") if terminal.console.is_terminal else None

    def start(self, node: str) -> None:
        """Show the node that begins."""
        if self._status is not None:
            self._status.update(node)
            self._status.start()

    def end(self, step: StepResult) -> None:
        """Show the result of a node."""
        self._done += 1
        if self._status is not None:
            self._status.stop()
        line = f"  {self._done:>2}/{self._total} {step.id:<18} {step.state:<8}"
        if step.seconds:
            line += f"{step.seconds:7.1f} s {step.peak_memory_mb:6d} MB"
        self._terminal.say(line)


def show_summary(summary: dict[str, Any], config: Config, workdir: Workdir, terminal: Terminal) -> None:
    """Print metrics, counts of rows, warnings and the outcome of a run."""
    _show_metrics(summary, config.gates.split, terminal)
    _show_data(summary["data"], terminal)
    bulk = summary.get("bulk")
    if bulk is not None:
        scored, result = bulk["rows_scored"], relative_path(workdir.root / RESULT)
        terminal.say(
            f"  bulk: {scored} of {bulk['rows_read']} rows scored" + (f": {result}" if scored else "")
        )
    for warning in summary["data"]["warnings"]:
        terminal.say(f"  warning: {warning}")
    if summary["status"] == "failed":
        terminal.say(f"kembar: error: {summary['reason']} (traceback in {relative_path(workdir.log)})")
    terminal.result(
        f"{summary['pipeline']}: {summary['status']}: {summary['reason']} ({summary['seconds']:.0f} s)"
    )


def _show_metrics(summary: dict[str, Any], split: str, terminal: Terminal) -> None:
    rows = {"model": summary["metrics"].get(split, {})}
    rows |= {name: measured.get(split, {}) for name, measured in summary["baselines"].items()}
    for name, measured in rows.items():
        shown = "  ".join(f"{key} {text(defined(value))}" for key, value in sorted(measured.items()))
        if shown:
            terminal.say(f"  {split} {name:<14} {shown}")
    for where, reason, names in grouped(summary["undefined"].get("metrics", {})):
        terminal.say(f"  {where} {', '.join(names)} undefined: {reason}")


def _show_data(data: dict[str, Any], terminal: Terminal) -> None:
    dialects: Counter[str] = Counter()
    for files in data["dialect"].values():
        dialects.update(files)
    if dialects:
        each = "; ".join(
            f"{dialect} ({count} files)" if len(dialects) > 1 else dialect
            for dialect, count in dialects.most_common()
        )
        terminal.say(f"  read as: {each}")
    for remark in data["remarks"]:
        terminal.say(f"  {remark}")
    if data["rows_quarantined"]:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in data["quarantine_reasons"].items())
        terminal.say(f"  {data['rows_quarantined']} of {data['rows_read']} rows quarantined: {reasons}")


def relative_path(path: Path) -> str:
    """Return the path as a person reads it: relative to the current folder where it lies below."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
