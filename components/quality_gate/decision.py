"""The decision and its reasons. Plain numbers in, no TFX."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from components.quality_gate.noise import Noise
from trainer.features import LOWER_IS_BETTER
from trainer.section import Section
from trainer.undefined import Undefined, defined, reason_of, text

Metrics = dict[str, float]
_NOT_MEASURED = Undefined("it is none of this model's metrics")


class Gates(Section):
    """The `[gates]` section: what a model must reach to be served."""

    split: Literal["eval", "test"] = Field("test", description="the split that decides")
    metric: str | None = Field(None, description="compared with baselines and champion; default: by family")
    floors: dict[str, float] = Field({}, description="metric to its lowest acceptable value")
    ceilings: dict[str, float] = Field({}, description="metric to its highest acceptable value")
    beat_baselines: bool = True
    champion_margin: float = Field(
        0.0, description="how much better than the champion; negative tolerates a loss"
    )
    confidence: float = Field(
        0.95, ge=0, lt=1, description="that the margin is no chance; 0 compares the bare numbers"
    )


@dataclass(frozen=True)
class QualityDecision:
    """The blessing of a model, or its refusal, and one sentence for every check."""

    blessed: bool
    passed: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def reason(self) -> str:
        """One line: what failed, or what was passed."""
        return "; ".join(self.failed or self.passed) or "no gate is set ([gates])"


def decide(
    gates: Gates,
    metric: str,
    candidate: Metrics,
    baselines: dict[str, Metrics],
    champion: Metrics | None,
    noise: Noise | None = None,
) -> QualityDecision:
    """Checks a candidate against floors, ceilings, baselines and champion.

    Args:
      gates: The configured gates.
      metric: The metric that baselines and champion are compared by.
      candidate: Metrics of the model on the deciding split. Without a value of `metric`, or of one that has a
        limit, the model is refused: nobody knows how good it is.
      baselines: The same for each baseline.
      champion: The same for the model in service, None when nothing is served. One that does not reach what
        is asked of a candidate need not be beaten.
      noise: What chance could have made of the metric, where that is known.
    """
    value = _value(candidate, metric)
    unknown = _undefined(gates, metric, candidate)
    if unknown:
        return QualityDecision(False, (), tuple(unknown))
    checks = [*_limits(gates, candidate)]
    if gates.beat_baselines:
        checks += _against_baselines(metric, value, baselines)
    if champion is not None:
        broken = [sentence for ok, sentence in _limits(gates, champion) if not ok]
        if broken:
            checks.append((True, f"the champion fails its own limits: {', '.join(broken)}"))
        else:
            checks.append(_against_champion(gates, metric, value, _value(champion, metric), noise))
    passed = tuple(sentence for ok, sentence in checks if ok)
    failed = tuple(sentence for ok, sentence in checks if not ok)
    return QualityDecision(not failed, passed, failed)


def _value(measured: Metrics, metric: str) -> float:
    return defined(measured.get(metric, _NOT_MEASURED))


def _undefined(gates: Gates, metric: str, candidate: Metrics) -> list[str]:
    """A sentence for each metric that has to decide and has no value; those of one reason share it."""
    limits = dict.fromkeys(gates.ceilings, "ceilings") | dict.fromkeys(gates.floors, "floors")
    keys = {metric: "metric"} | limits
    by_reason: dict[str, list[str]] = {}
    for name in keys:
        value = _value(candidate, name)
        if math.isnan(value):
            by_reason.setdefault(reason_of(value), []).append(name)
    other = [name for name in sorted(candidate) if math.isfinite(_value(candidate, name))]
    sentences = []
    for reason, names in by_reason.items():
        used = ", ".join(dict.fromkeys(keys[name] for name in names))
        is_not = "is not" if len(names) == 1 else "are not"
        ways_out = [] if reason == _NOT_MEASURED.reason else [f"mend the split {gates.split}"]
        if other:
            ways_out.append(f"{'decide by' if ways_out else 'name'} {' or '.join(other)}")
        advice = f": {', or '.join(ways_out)}" if ways_out else ""
        problem = f"{', '.join(names)} {is_not} defined on {gates.split}: {reason}"
        sentences.append(f"{problem}{advice} ([gates] {used})")
    return sentences


def _limits(gates: Gates, measured: Metrics) -> Iterator[tuple[bool, str]]:
    """Checks of all that was measured and is defined, as it is of a candidate that gets here."""
    for key, limits, good, bad in (
        ("floors", gates.floors, "reaches the floor", "is below the floor"),
        ("ceilings", gates.ceilings, "keeps under", "is above the ceiling"),
    ):
        for name, limit in limits.items():
            value = _value(measured, name)
            ok = value >= limit if key == "floors" else value <= limit
            clause = f"{good} {limit:g}" if ok else f"{bad} {limit:g} ([gates] {key})"
            if math.isfinite(value):
                yield ok, f"{name} {text(value)} {clause}"


def _against_baselines(
    metric: str, value: float, baselines: dict[str, Metrics]
) -> Iterator[tuple[bool, str]]:
    for name, measured in sorted(baselines.items()):
        other = _value(measured, metric)
        if math.isnan(other):
            continue  # such as the correlation of a constant: any number beats it
        ok = _gain(metric, value, other) > 0
        clause = f"beats {name} {text(other)}"
        if not ok:
            clause = f"does not beat the baseline {name} {text(other)} ([gates] beat_baselines)"
        yield ok, f"{metric} {text(value)} {clause}"


def _against_champion(
    gates: Gates, metric: str, value: float, other: float, noise: Noise | None
) -> tuple[bool, str]:
    gain = _gain(metric, value, other)
    better = gain >= gates.champion_margin or math.isnan(other)
    if better and noise is not None and noise.gain is not None and noise.gain < gates.champion_margin:
        return False, (
            f"{metric} {text(value)} beats the champion {text(other)}, but chance alone could do that: with "
            f"confidence {gates.confidence:g} the gain is only known to be above {noise.gain:.4f} "
            f"([gates] champion_margin = {gates.champion_margin:g}, confidence)"
        )
    clause = f"holds against the champion {text(other)}"
    if not better:
        clause = f"loses to the champion {text(other)} ([gates] champion_margin = {gates.champion_margin:g})"
    return better, f"{metric} {text(value)} {clause}"


def _gain(metric: str, value: float, other: float) -> float:
    """The gain of `value` over `other`, positive where it is better; NaN where `other` is not defined."""
    return other - value if metric in LOWER_IS_BETTER else value - other
