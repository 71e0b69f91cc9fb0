"""`kembar history`: each decision with its time and reason, and the metrics as series, from ML Metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from components.example_gen import spans
from pipeline.config.configuration import Config
from pipeline.store.database import is_kept
from pipeline.store.ledger import LedgerEntry
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError
from trainer.families import family_of
from trainer.undefined import defined, text

# Characters of a reason that a table shows.
_LONGEST = 90


def show(config: Config, workdir: Workdir, entries: Sequence[LedgerEntry], terminal: Terminal) -> None:
    """Prints one line a decision, newest last.

    Raises:
      ConfigError: nothing was run in the folder.
    """
    if not is_kept(config, workdir):
        raise ConfigError(f"{workdir.metadata}: no such file: nothing was run in {workdir.root}")
    terminal.table(table(entries, config))


def table(entries: Sequence[LedgerEntry], config: Config) -> Table:
    """When, span, decision, the deciding metric of the new model and of the one in service, and why."""
    metric, pattern = metric_of(config), config.data.pattern
    listing = Table(
        "when", "span", "decision", f"new {metric}", f"served {metric}", "seconds", "version", "reason",
        box=None, pad_edge=False,
    )  # fmt: skip
    for entry in entries:
        served = entry.served.get(entry.span) if entry.span is not None else None
        why = f"{entry.why}: {entry.reason}" if entry.why else entry.reason
        listing.add_row(
            entry.at[:16].replace("T", " "),
            "" if entry.span is None or pattern is None else spans.name(entry.span, pattern),
            entry.status,
            shown(entry.metrics.get(config.gates.split, {}), metric),
            shown(served.metrics if served is not None else {}, metric),
            f"{entry.seconds:.0f}",
            "" if entry.version is None else str(entry.version),
            why if len(why) <= _LONGEST else f"{why[: _LONGEST - 1]}…",
        )
    return listing


def series(entries: Sequence[LedgerEntry], config: Config) -> dict[str, list[float]]:
    """The deciding metric, in order of time: of the model in service on new spans, and of trained models."""
    metric = metric_of(config)
    live = [
        evaluation.metrics.get(metric) for entry in entries for _, evaluation in sorted(entry.served.items())
    ]
    trained = [entry.metrics.get(config.gates.split, {}).get(metric) for entry in entries if entry.trained]
    return {
        "in service, on new data": [value for value in live if value is not None],
        "trained, on its test split": [value for value in trained if value is not None],
    }


def metric_of(config: Config) -> str:
    """Return the metric that decides between two models."""
    return config.gates.metric or family_of(config.spec).primary_metric(config.spec)


def shown(metrics: Mapping[str, Any], name: str) -> str:
    """A metric with four decimals, "undefined", or nothing where it was not measured.

    Summaries that were written by an older version may hold words in place of numbers.
    """
    return text(defined(metrics[name])) if name in metrics else ""


def decimals(value: float | None) -> str:
    """Four decimals, or nothing."""
    return "" if value is None else f"{value:.4f}"
