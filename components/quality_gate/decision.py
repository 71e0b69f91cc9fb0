"""The decision and its reasons. Plain numbers in, no TFX."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field

from trainer.config import Section

Metrics = dict[str, float]


class Gates(Section):
    """The `[gates]` section: what a model must reach to be served. For all metrics more is better."""

    split: str = Field("test", pattern="^(eval|test)$", description="the split that decides")
    metric: str | None = Field(
        None, description="compared with baselines and champion; default: by label kind"
    )
    floors: dict[str, float] = Field({}, description="metric to its lowest acceptable value")
    beat_baselines: bool = True
    champion_margin: float = Field(
        0.0, description="how much better than the champion; negative tolerates a loss"
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
        return "; ".join(self.failed or self.passed)


def decide(
    gates: Gates, metric: str, candidate: Metrics, baselines: dict[str, Metrics], champion: Metrics | None
) -> Decision:
    """Checks a candidate against floors, baselines and champion.

    Args:
      gates: The configured gates.
      metric: The metric that baselines and champion are compared by.
      candidate: Metrics of the model on the deciding split.
      baselines: The same for each baseline.
      champion: The same for the model in service, None when nothing is served.
    """
    passed: list[str] = []
    failed: list[str] = []
    value = candidate.get(metric, math.nan)

    def check(ok: bool, good: str, bad: str) -> None:
        (passed if ok else failed).append(good if ok else bad)

    for name, floor in gates.floors.items():
        reached = candidate.get(name, math.nan)
        check(
            reached >= floor,
            f"{name} {reached:.4f} reaches the floor {floor:g}",
            f"{name} {reached:.4f} is below the floor {floor:g} ([gates] floors)",
        )
    if gates.beat_baselines:
        for name, measured in sorted(baselines.items()):
            other = measured.get(metric, math.nan)
            if math.isnan(other) and not math.isnan(value):
                continue  # such as the correlation of a constant: any number beats it
            check(
                value > other,
                f"{metric} {value:.4f} beats {name} {other:.4f}",
                f"{metric} {value:.4f} does not beat the baseline {name} {other:.4f} "
                "([gates] beat_baselines)",
            )
    if champion is not None:
        needed = champion.get(metric, math.nan) + gates.champion_margin
        check(
            value >= needed or (math.isnan(needed) and not math.isnan(value)),
            f"{metric} {value:.4f} holds against the champion {champion.get(metric, math.nan):.4f}",
            f"{metric} {value:.4f} loses to the champion {champion.get(metric, math.nan):.4f} "
            f"([gates] champion_margin = {gates.champion_margin:g})",
        )
    return Decision(not failed, tuple(passed), tuple(failed))
