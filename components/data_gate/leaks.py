"""Rows and texts that stand in two splits, where each split has files of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from components.example_gen.data_config import SPLITS

# In the order in which they are looked at: rows tell more.
_KINDS = {"shared_rows": "rows", "shared_texts": "texts"}


@dataclass(frozen=True)
class Leak:
    """The number of different rows or texts of the second of two splits that stand in the first one too."""

    kind: str
    splits: tuple[str, str]
    shared: int
    different: int

    @property
    def share(self) -> float:
        """The shared part of the second split, 0 to 1."""
        return self.shared / max(self.different, 1)

    def sentence(self, limit: float) -> str:
        """One line: what is shared, what that means, and what to do."""
        first, second = self.splits
        what = f"{self.shared} of the {self.different} different {_KINDS[self.kind]}"
        if self.share > 0.5:
            return (
                f"MOST OF {second.upper()} IS IN {first.upper()} TOO: {what} of {second} stand in {first}: "
                f"metrics of {second} say nothing of what is new: give [data] {second} other rows, or path "
                "in place of the three files"
            )
        return (
            f"{second}: {what} ({self.share:.1%}) stand in {first} too, more than [validation.limits] "
            f"{self.kind} = {limit:g}: metrics of {second} are too good: remove them from one of the two"
        )


def leaks(counts: dict[str, Any], texts: bool) -> Iterator[Leak]:
    """The leaks between each two splits, rows first.

    Args:
      counts: `counts.json` of the examples; without such counts there is nothing to compare.
      texts: Whether rows are pairs of texts; of a vector the row is all.
    """
    for (first, second), (kind, name) in product(combinations(SPLITS, 2), _KINDS.items()):
        shared = counts.get(kind, {}).get(f"{first} and {second}")
        if shared is not None and (texts or name == "rows"):
            yield Leak(kind, (first, second), shared, counts[f"different_{name}"][second])
