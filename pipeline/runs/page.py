"""The page of one run as HTML. Whatever came out of a row is escaped."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections import Counter
from collections.abc import Sequence
from html import escape as escape_html
from pathlib import Path
from typing import Any

from components.example_gen.counts import QUARANTINE
from components.files import CONFUSION, TUNING, VERDICT
from pipeline.config.configuration import Config
from pipeline.runs.history import decimals, metric_of, series, shown, table
from pipeline.runs.summary import TRAINING
from pipeline.store.ledger import LedgerEntry
from pipeline.store.outcome import grouped
from pipeline.terminal import printable
from trainer.charts import line_chart
from trainer.features import LOWER_IS_BETTER
from trainer.undefined import defined

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
_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #8886}td.n,th.n{text-align:right;
font-variant-numeric:tabular-nums}.status{padding:.6rem 1rem;border-left:.5rem solid #777;background:#8882}
.pushed,.unchanged{border-color:#1a7f37}.failed{border-color:#b42318}.data_rejected,.not_blessed,
.serving_rejected{border-color:#b54708}.wide{overflow-x:auto}pre{white-space:pre-wrap;overflow-wrap:anywhere}
figure{display:inline-block;margin:.5rem;background:#fff;color:#000;max-width:100%}svg,img{max-width:100%;
height:auto}progress{width:8rem}@media print{body{max-width:none}}
"""


def render(summary: dict[str, Any], config: Config, root: Path, entries: Sequence[LedgerEntry] = ()) -> str:
    """The page of a run whose files are in `root`, and of the decisions before it."""
    status = summary["status"]
    sections = [
        _section("Metrics", _metrics(summary, config) + _undefined(summary.get("undefined", {}))),
        _section("Confusion", _confusion(_read(root / CONFUSION)) if summary["metrics"] else ""),
        _section("Parts of the splits", _slices(summary.get("slices", {}))),
        _section("Decision", _list(summary["reason"].split("; "))),
        _section("Tuning", _tuning(_read(root / TUNING)) if summary["model"].get("tuned") else ""),
        _section("Training", _training(_read(root / TRAINING)) if summary["model"]["epochs"] else ""),
        _section("Pictures", _pictures(root / "pictures") if summary["model"]["epochs"] else ""),
        _section("Data", _data(summary["data"], root / QUARANTINE)),
        _section("Data compared", _checks(_read(root / VERDICT))),
        _section("History", _history(entries, config) if len(entries) > 1 else ""),
        _section("Steps", _steps(summary["components"])),
        _section("Model", _facts(summary["model"])),
        _section(
            "Configuration", f"<pre>{escape(config.model_dump_json(indent=2, exclude_none=True))}</pre>"
        ),
    ]
    name = escape(summary["pipeline"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{name}: {escape(status)}</title>"
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>'
        f'<h1>{name}</h1><div class="status {escape(status)}"><strong>{escape(status)}</strong>: '
        f"{escape(_MEANING.get(status, ''))}<br>{escape(summary['reason'])}</div>"
        f"<p>Run {escape(str(summary['run_id']))}, started {escape(str(summary['started']))}, "
        f"{summary['seconds']:.0f} s, {summary['peak_memory_mb']:,} MB at most.</p>"
        f"{''.join(sections)}</main></body></html>\n"
    )


def escape(text: str) -> str:
    """Text for a page: no tag, and nothing that turns the direction of what is beside it."""
    return escape_html(printable(text, lines=True))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    """All but the first column stand right; everything is escaped."""

    def cell(tag: str, value: Any, number: bool) -> str:
        return f"<{tag}{' class=n' if number else ''}>{escape(str(value))}</{tag}>"

    top = "".join(cell("th", name, bool(at)) for at, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(cell("td", value, bool(at)) for at, value in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _metrics(summary: dict[str, Any], config: Config) -> str:
    measured = {"model": summary["metrics"], **summary["baselines"]}
    parts = []
    for split in sorted({split for by_split in measured.values() for split in by_split}):
        names = sorted({name for by_split in measured.values() for name in by_split.get(split, {})})
        decides = metric_of(config)
        head = [split, *(_headed(name, name == decides and split == config.gates.split) for name in names)]
        rows = [
            [who, *(shown(by_split.get(split, {}), name) for name in names)]
            for who, by_split in measured.items()
        ]
        parts.append(_table(head, rows))
    return "".join(parts)


def _undefined(reasons: dict[str, Any]) -> str:
    """Metrics of the model without a value, a line for each split and reason; slices say no more."""
    lines = [
        f"{split}: {', '.join(names)} {'is' if len(names) == 1 else 'are'} not defined: {reason}"
        for split, reason, names in grouped(reasons.get("metrics", {}))
    ]
    return _list(lines) if lines else ""


def _confusion(by_split: dict[str, Any]) -> str:
    """Rows of each true class by the class that they were taken for."""
    return "".join(
        _table(
            [f"{split}: is, taken for", *confusion["classes"]],
            [
                [name, *(f"{count:,}" for count in row)]
                for name, row in zip(confusion["classes"], confusion["matrix"], strict=True)
            ],
        )
        for split, confusion in sorted(by_split.items())
    )


def _slices(by_split: dict[str, Any]) -> str:
    parts = []
    for split, slices in sorted(by_split.items()):
        names = list(next(iter(slices.values()), {}))
        rows = [
            [part, *(f"{values[n]:,}" if n == "rows" else shown(values, n) for n in names)]
            for part, values in slices.items()
        ]
        parts.append(_table([split, *names], rows) if rows else "")
    return "".join(parts)


def _headed(name: str, decides: bool) -> str:
    better = " (less is better)" if name in LOWER_IS_BETTER else ""
    return f"{name}{better}{' ← decides' if decides else ''}"


def _training(log: dict[str, Any]) -> str:
    curves = {name: values for name, values in log.get("history", {}).items() if len(values) > 1}
    # Each quantity has a scale of its own; what is measured on both splits shares one.
    charts: dict[str, dict[str, list[float]]] = {}
    for name, values in curves.items():
        charts.setdefault(name.removeprefix("val_"), {})[name] = [defined(value) for value in values]
    return "".join(
        f"<figure>{line_chart(lines, name, 'epoch', name)}</figure>" for name, lines in charts.items()
    )


def _history(entries: Sequence[LedgerEntry], config: Config) -> str:
    """The decisions of late, and the deciding metric from span to span."""
    decisions = table(entries[-_DECISIONS:], config)
    columns = [[str(cell) for cell in column.cells] for column in decisions.columns]
    head = [str(column.header) for column in decisions.columns]
    charts = [
        f"<figure>{line_chart({name: values}, name, 'decision', metric_of(config))}</figure>"
        for name, values in series(entries, config).items()
        if len(values) > 1
    ]
    return "".join(charts) + _table(head, [list(row) for row in zip(*columns, strict=True)])


def _tuning(search: dict[str, Any]) -> str:
    """All trials, in order, the best one marked; or where the values were kept from."""
    if not search:
        return ""
    best = search["best"]
    if search["kept"]:
        kept = [f"{key} = {json.dumps(value)}" for key, value in best["values"].items()]
        return "<p>Values of an earlier search:</p>" + _list(kept)
    head = ["trial", *best["values"], search["objective"], "epochs", "seconds", ""]
    rows = []
    for number, trial in enumerate(search["trials"], 1):
        outcome = trial["error"] or ("best" if number == best["trial"] else "")
        values = [f"{value:.4g}" if isinstance(value, float) else value for value in trial["values"].values()]
        rows.append(
            [number, *values, decimals(trial["score"]), trial["epochs"] or "",
             "" if trial["seconds"] is None else f"{trial['seconds']:.1f}", outcome]
        )  # fmt: skip
    return _table(head, rows)


def _pictures(folder: Path) -> str:
    shown = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        kind = mimetypes.guess_type(path.name)[0]
        if kind in ("image/png", "image/svg+xml"):
            data = base64.b64encode(path.read_bytes()).decode()
            name = escape(path.stem.replace("_", " "))
            shown.append(
                f'<figure><img alt="{name}" src="data:{kind};base64,{data}">'
                f"<figcaption>{name}</figcaption></figure>"
            )
    return "".join(shown)


def _data(data: dict[str, Any], quarantine: Path) -> str:
    facts = [
        ["read", data["rows_read"]],
        ["kept", data["rows_kept"]],
        ["quarantined", data["rows_quarantined"]],
    ]
    facts += [[f"split {name}", count] for name, count in data["splits"].items()]
    parts = [_table(["rows", ""], [[name, f"{count:,}"] for name, count in facts])]
    if data["quarantine_reasons"]:
        reasons = [[reason, f"{count:,}"] for reason, count in data["quarantine_reasons"].items()]
        parts += [_table(["quarantined because", ""], reasons), _quarantined(quarantine)]
    return "".join(parts)


def _checks(verdict: dict[str, Any]) -> str:
    """Every check of the data gate: what was found first, then the nearest to its limit."""
    if not verdict:
        return ""
    rows = []
    for check in verdict["checks"]:
        allowed = None if check["value"] is None else check["limit"] + check["chance"]
        near = check["value"] / max(allowed, 1e-9) if allowed is not None else 1e9
        outcome = check["severity"] if check["found"] else "ok"
        labels = [check["split"], check["feature"], check["kind"], check["subject"]]
        rows.append((-check["found"], -near, [*labels, decimals(check["value"]), decimals(allowed), outcome]))
    rows.sort(key=lambda row: row[:2])
    head = ["split", "feature", "what", "check", "value", "allowed", ""]
    shown = _table(head, [row for _, _, row in rows]) if rows else ""
    return (_list(verdict["warnings"]) if verdict["warnings"] else "") + shown + _list(verdict["notes"])


def _quarantined(folder: Path) -> str:
    """A few rows of each reason, cut."""
    shown: Counter[str] = Counter()
    rows = []
    for path in sorted(folder.glob("*.jsonl*")) if folder.is_dir() else []:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                row = json.loads(line)
                shown[row["reason"]] += 1
                if shown[row["reason"]] <= _EXAMPLES:
                    rows.append(row)
    examples = [f"{row['reason']}: {json.dumps(row, ensure_ascii=False)[:_LONGEST]}" for row in rows]
    return f"<details><summary>Examples</summary>{_list(examples)}</details>" if examples else ""


def _steps(components: list[dict[str, Any]]) -> str:
    longest = max((step["seconds"] for step in components), default=0) or 1
    rows = "".join(
        f"<tr><td>{escape(step['id'])}</td><td>{escape(step['state'])}</td>"
        f"<td class=n>{step['seconds']:.1f} s</td>"
        f'<td><progress max="{longest}" value="{step["seconds"]}" aria-label="share"></progress></td>'
        f"<td class=n>{step['peak_memory_mb']:,} MB</td></tr>"
        for step in components
    )
    head = "<tr><th>step</th><th>state</th><th class=n>time</th><th></th><th class=n>memory</th></tr>"
    return (
        f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>' if rows else ""
    )


def _facts(model: dict[str, Any]) -> str:
    rows = [[name.replace("_", " "), value] for name, value in model.items() if value is not None]
    return _table(["", ""], rows) if rows else ""


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
