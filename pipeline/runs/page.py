"""The page of one run as HTML, out of `page.html`. Whatever came out of a row is escaped."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from components.nodes import CONFUSION_FILE, QUARANTINE, TUNING_FILE, VERDICT_FILE
from pipeline.config.configuration import Config
from pipeline.runs.history import decimals, metric_of, series, shown, table
from pipeline.store.ledger import LedgerEntry
from pipeline.store.outcome import grouped
from pipeline.terminal import printable
from trainer.charts import line_chart
from trainer.features import LOWER_IS_BETTER
from trainer.files import TRAINING_LOG
from trainer.undefined import defined

# The names of its columns, and its rows.
Table = tuple[list[str], list[list[Any]]]
# Quarantined rows shown of each reason, and characters of each.
_EXAMPLES, _LONGEST = 5, 200
# Decisions shown, the newest.
_DECISIONS = 60
_MEANING = {
    "pushed": "a new version is served (exit code 0)",
    "unchanged": "nothing new to serve (exit code 0)",
    "data_rejected": "the data was not good enough to learn from (exit code 3)",
    "not_blessed": "the model was not good enough to serve (exit code 4)",
    "serving_rejected": "the model did not answer as it should (exit code 4)",
    "failed": "a step went wrong (exit code 1)",
    "interrupted": "a signal ended it (exit code 128 and its number)",
}


def render(summary: dict[str, Any], config: Config, root: Path, entries: Sequence[LedgerEntry] = ()) -> str:
    """The page of a run whose files are in `root`, and of the decisions before it."""
    model, data = summary["model"], summary["data"]
    search = _read(root / TUNING_FILE) if model.get("tuned") else {}
    verdict = {"warnings": [], "notes": [], "checks": [], **_read(root / VERDICT_FILE)}
    page = Environment(
        loader=PackageLoader("pipeline.runs", "."),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
    ).get_template("page.html")
    return page.render(
        summary=summary,
        meaning=_MEANING.get(summary["status"], ""),
        metrics=list(_metrics(summary, config)),
        undefined=_undefined(summary.get("undefined", {})),
        confusion=list(_confusion(_read(root / CONFUSION_FILE))) if summary["metrics"] else [],
        slices=list(_slices(summary.get("slices", {}))),
        kept_values=[f"{key} = {json.dumps(value)}" for key, value in search["best"]["values"].items()]
        if search.get("kept")
        else [],
        trials=[] if not search or search["kept"] else [_trials(search)],
        curves=_curves(_read(root / TRAINING_LOG)) if model["epochs"] else [],
        pictures=list(_pictures(root / "pictures")) if model["epochs"] else [],
        rows=list(_rows(data)),
        quarantined=_quarantined(root / QUARANTINE) if data["quarantine_reasons"] else [],
        verdict=verdict,
        checks=[_checks(verdict["checks"])] if verdict["checks"] else [],
        series=_series(entries, config) if len(entries) > 1 else [],
        decisions=[_decisions(entries, config)] if len(entries) > 1 else [],
        facts=list(_facts(model)),
        configuration=config.model_dump_json(indent=2, exclude_none=True),
    )


def _printable(value: Any) -> Any:
    """Text for a page, before it is escaped: nothing that turns the direction of what is beside it."""
    return value if isinstance(value, Markup) else printable(str(value), lines=True)


def _chart(lines: dict[str, list[float]], title: str, x: str, y: str) -> Markup:
    return Markup(line_chart(lines, title, x, y))  # noqa: S704 - the chart escapes its words


def _metrics(summary: dict[str, Any], config: Config) -> Iterator[Table]:
    measured = {"model": summary["metrics"], **summary["baselines"]}
    for split in sorted({split for by_split in measured.values() for split in by_split}):
        names = sorted({name for by_split in measured.values() for name in by_split.get(split, {})})
        decides = metric_of(config)
        head = [split, *(_headed(name, name == decides and split == config.gates.split) for name in names)]
        yield (
            head,
            [
                [who, *(shown(by_split.get(split, {}), name) for name in names)]
                for who, by_split in measured.items()
            ],
        )


def _headed(name: str, decides: bool) -> str:
    better = " (less is better)" if name in LOWER_IS_BETTER else ""
    return f"{name}{better}{' ← decides' if decides else ''}"


def _undefined(reasons: dict[str, Any]) -> list[str]:
    """Metrics of the model without a value, a line for each split and reason; slices say no more."""
    return [
        f"{split}: {', '.join(names)} {'is' if len(names) == 1 else 'are'} not defined: {reason}"
        for split, reason, names in grouped(reasons.get("metrics", {}))
    ]


def _confusion(by_split: dict[str, Any]) -> Iterator[Table]:
    """Yield the rows of each true class by the class that they were taken for."""
    for split, confusion in sorted(by_split.items()):
        counted = zip(confusion["classes"], confusion["matrix"], strict=True)
        rows = [[name, *(f"{count:,}" for count in row)] for name, row in counted]
        yield [f"{split}: is, taken for", *confusion["classes"]], rows


def _slices(by_split: dict[str, Any]) -> Iterator[Table]:
    for split, slices in sorted(by_split.items()):
        names = list(next(iter(slices.values()), {}))
        if slices:
            yield (
                [split, *names],
                [
                    [part, *(f"{values[n]:,}" if n == "rows" else shown(values, n) for n in names)]
                    for part, values in slices.items()
                ],
            )


def _trials(search: dict[str, Any]) -> Table:
    """All trials, in order, the best one marked."""
    best = search["best"]
    rows = []
    for number, trial in enumerate(search["trials"], 1):
        outcome = trial["error"] or ("best" if number == best["trial"] else "")
        values = [f"{value:.4g}" if isinstance(value, float) else value for value in trial["values"].values()]
        rows.append(
            [number, *values, decimals(trial["score"]), trial["epochs"] or "",
             "" if trial["seconds"] is None else f"{trial['seconds']:.1f}", outcome]
        )  # fmt: skip
    return ["trial", *best["values"], search["objective"], "epochs", "seconds", ""], rows


def _curves(log: dict[str, Any]) -> list[Markup]:
    """Each quantity has a scale of its own; what is measured on both splits shares one."""
    charts: dict[str, dict[str, list[float]]] = {}
    for name, values in log.get("history", {}).items():
        if len(values) > 1:
            charts.setdefault(name.removeprefix("val_"), {})[name] = [defined(value) for value in values]
    return [_chart(lines, name, "epoch", name) for name, lines in charts.items()]


def _pictures(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and source of each figure of the model."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        kind = mimetypes.guess_type(path.name)[0]
        if kind in ("image/png", "image/svg+xml"):
            data = base64.b64encode(path.read_bytes()).decode()
            yield path.stem.replace("_", " "), f"data:{kind};base64,{data}"


def _rows(data: dict[str, Any]) -> Iterator[Table]:
    counts = {name: data[f"rows_{name}"] for name in ("read", "kept", "quarantined")}
    counts |= {f"split {name}": count for name, count in data["splits"].items()}
    yield _counted("rows", counts)
    if data["quarantine_reasons"]:
        yield _counted("quarantined because", data["quarantine_reasons"])


def _counted(title: str, counts: dict[str, int]) -> Table:
    return [title, ""], [[name, f"{count:,}"] for name, count in counts.items()]


def _quarantined(folder: Path) -> list[str]:
    """A few rows of each reason, cut."""
    counts: Counter[str] = Counter()
    examples = []
    for path in sorted(folder.glob("*.jsonl*")) if folder.is_dir() else []:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                row = json.loads(line)
                counts[row["reason"]] += 1
                if counts[row["reason"]] <= _EXAMPLES:
                    text = json.dumps(row, ensure_ascii=False)[:_LONGEST]
                    examples.append(f"{row['reason']}: {text}")
    return examples


def _checks(checks: list[dict[str, Any]]) -> Table:
    """Every check of the data gate: what it refuses or warns of first, then the nearest to its limit."""
    rows = []
    for check in checks:
        allowed = None if check["value"] is None else check["limit"] + check["chance"]
        near = check["value"] / max(allowed, 1e-9) if allowed is not None else 1e9
        outcome = check["severity"] if check["found"] else "ok"
        labels = [check["split"], check["feature"], check["kind"], check["subject"]]
        rows.append((-check["found"], -near, [*labels, decimals(check["value"]), decimals(allowed), outcome]))
    rows.sort(key=lambda row: row[:2])
    return ["split", "feature", "what", "check", "value", "allowed", ""], [row for _, _, row in rows]


def _series(entries: Sequence[LedgerEntry], config: Config) -> list[Markup]:
    """The deciding metric from span to span."""
    metric = metric_of(config)
    return [
        _chart({name: values}, name, "decision", metric)
        for name, values in series(entries, config).items()
        if len(values) > 1
    ]


def _decisions(entries: Sequence[LedgerEntry], config: Config) -> Table:
    """The decisions of late."""
    columns = table(entries[-_DECISIONS:], config).columns
    rows = zip(*([str(cell) for cell in column.cells] for column in columns), strict=True)
    return [str(column.header) for column in columns], [list(row) for row in rows]


def _facts(model: dict[str, Any]) -> Iterator[Table]:
    rows = [[name.replace("_", " "), value] for name, value in model.items() if value is not None]
    if rows:
        yield ["", ""], rows


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
