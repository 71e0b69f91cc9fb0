"""The decision and its reasons. Plain numbers in, no TFX."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from components.quality_gate.noise import Noise
from trainer.config import Section
from trainer.features import LOWER_IS_BETTER

Metrics = dict[str, float]


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
class Decision:
    """Whether the model is blessed, and one sentence for every check."""

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
) -> Decision:
    """Checks a candidate against floors, ceilings, baselines and champion.

    Args:
      gates: The configured gates.
      metric: The metric that baselines and champion are compared by.
      candidate: Metrics of the model on the deciding split.
      baselines: The same for each baseline.
      champion: The same for the model in service, None when nothing is served. One that does not reach what
        is asked of a candidate need not be beaten.
      noise: What chance could have made of the metric, where that is known.
    """
    checks = [*_limits(gates, candidate)]
    value = candidate.get(metric, math.nan)
    if gates.beat_baselines:
        checks += _against_baselines(metric, value, baselines)
    if champion is not None:
        broken = [said for ok, said in _limits(_known(gates, champion), champion) if not ok]
        if broken:
            checks.append((True, f"the champion fails its own limits: {', '.join(broken)}"))
        else:
            checks.append(_against_champion(gates, metric, value, champion.get(metric, math.nan), noise))
    passed = tuple(said for ok, said in checks if ok)
    failed = tuple(said for ok, said in checks if not ok)
    return Decision(not failed, passed, failed)


def _known(gates: Gates, measured: Metrics) -> Gates:
    """The gates without limits of what was not measured, or is not defined."""

    def keep(limits: dict[str, float]) -> dict[str, float]:
        return {name: limit for name, limit in limits.items() if math.isfinite(measured.get(name, math.nan))}

    return gates.model_copy(update={"floors": keep(gates.floors), "ceilings": keep(gates.ceilings)})


def _limits(gates: Gates, candidate: Metrics) -> Iterator[tuple[bool, str]]:
    for name, floor in gates.floors.items():
        value = candidate.get(name, math.nan)
        ok = value >= floor
        said = f"reaches the floor {floor:g}" if ok else f"is below the floor {floor:g} ([gates] floors)"
        yield ok, f"{name} {value:.4f} {said}"
    for name, ceiling in gates.ceilings.items():
        value = candidate.get(name, math.nan)
        ok = value <= ceiling
        said = f"keeps under {ceiling:g}" if ok else f"is above the ceiling {ceiling:g} ([gates] ceilings)"
        yield ok, f"{name} {value:.4f} {said}"


def _against_baselines(
    metric: str, value: float, baselines: dict[str, Metrics]
) -> Iterator[tuple[bool, str]]:
    for name, measured in sorted(baselines.items()):
        other = measured.get(metric, math.nan)
        if math.isnan(other) and not math.isnan(value):
            continue  # such as the correlation of a constant: any number beats it
        ok = _gain(metric, value, other) > 0
        said = f"beats {name} {other:.4f}"
        if not ok:
            said = f"does not beat the baseline {name} {other:.4f} ([gates] beat_baselines)"
        yield ok, f"{metric} {value:.4f} {said}"


def _against_champion(
    gates: Gates, metric: str, value: float, other: float, noise: Noise | None
) -> tuple[bool, str]:
    gain = _gain(metric, value, other)
    better = gain >= gates.champion_margin or (math.isnan(other) and not math.isnan(value))
    if better and noise is not None and noise.gain is not None and noise.gain < gates.champion_margin:
        return False, (
            f"{metric} {value:.4f} beats the champion {other:.4f}, but chance alone could do that: with "
            f"confidence {gates.confidence:g} the gain is only known to be above {noise.gain:.4f} "
            f"([gates] champion_margin = {gates.champion_margin:g}, confidence)"
        )
    said = f"holds against the champion {other:.4f}"
    if not better:
        said = f"loses to the champion {other:.4f} ([gates] champion_margin = {gates.champion_margin:g})"
    return better, f"{metric} {value:.4f} {said}"


def _gain(metric: str, value: float, other: float) -> float:
    """How much better `value` is than `other`; NaN where one of them is."""
    return other - value if metric in LOWER_IS_BETTER else value - other
