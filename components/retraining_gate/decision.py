"""The decision to train and its reasons. Plain numbers in, no TFX."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.retraining_gate.retraining_config import Retraining
from trainer.undefined import Undefined, defined, reason_of, text

# Where the gate leaves it.


@dataclass(frozen=True)
class TrainingDecision:
    """Reasons for a training, and the figures that were compared and give no reason."""

    reasons: tuple[str, ...]
    figures: tuple[str, ...]

    @property
    def train(self) -> bool:
        """True where there is a reason."""
        return bool(self.reasons)

    @property
    def reason(self) -> str:
        """One line: why it is trained, or what was looked at and is no reason."""
        return "; ".join(self.reasons or self.figures)


def decide(
    retraining: Retraining, known_reason: str, live: dict[str, float] | None, rows: int, drift: list[str]
) -> TrainingDecision:
    """Puts together what was known before the data was looked at, and what it shows.

    Args:
      retraining: What is reason enough.
      known_reason: A reason that was known before, or nothing.
      live: Metrics of the model in service on the new data; None without a model, or one asked the same.
      rows: Rows of the new data.
      drift: Changes that the data gate warned of, a sentence each.
    """
    reasons = [known_reason] if known_reason else []
    figures: list[str] = []
    if live is None:
        reasons += [] if known_reason else ["no model in service can be measured on it"]
    else:
        for broken, sentence in _limits(retraining, live, rows):
            (reasons if broken else figures).append(sentence)
        if not retraining.floors and not retraining.ceilings:
            measured = ", ".join(f"{name} {text(value)}" for name, value in sorted(live.items()))
            figures.append(f"the model in service has {measured} on {rows} new rows")
    if drift and retraining.drift:
        reasons.append(f"the data has changed: {'; '.join(drift)}")
    else:
        figures.append("the data has not changed" if not drift else "changes of the data are no reason")
    return TrainingDecision(tuple(reasons), tuple(figures))


def _limits(retraining: Retraining, live: dict[str, float], rows: int) -> Iterator[tuple[bool, str]]:
    for key, limits, sign in (("floors", retraining.floors, 1), ("ceilings", retraining.ceilings, -1)):
        for name, limit in limits.items():
            value = defined(live.get(name, Undefined("it is none of this model's metrics")))
            # What is not defined is no proof that the model is still good enough.
            broken = not sign * value >= sign * limit
            side = {1: ("below", "at least"), -1: ("above", "at most")}[sign]
            sentence = f"the model in service has {name} {text(value)} on {rows} new rows"
            if isinstance(value, Undefined):
                yield True, f"{sentence} ({reason_of(value)}), so that nobody knows ([retraining] {key})"
                continue
            yield (
                broken,
                f"{sentence}, {side[0]} {limit:g} ([retraining] {key})"
                if broken
                else f"{sentence} ({side[1]} {limit:g})",
            )
