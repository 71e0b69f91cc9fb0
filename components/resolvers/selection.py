"""The base of the resolver strategies."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from tfx.dsl.components.common import resolver
from tfx.types import Artifact

Inputs = dict[str, list[Artifact]]


class Selection(resolver.ResolverStrategy):
    """Keeps some of the artifacts of one key; those of the other keys decide which."""

    KEY: ClassVar[str]

    def resolve_artifacts(self, store: Any, input_dict: Inputs) -> Inputs:
        """The same keys; `KEY` holds what was selected."""
        del store
        return {**input_dict, self.KEY: self._select(input_dict)}

    @abstractmethod
    def _select(self, inputs: Inputs) -> list[Artifact]:
        """The artifacts that are kept."""


def without_last(artifacts: Iterable[Artifact], of_this_run: Callable[[Artifact], bool]) -> list[Artifact]:
    """In the order of their ids, without the last ones as far as they are of this run.

    When nothing has changed, a step then sees what it saw the first time, and comes out of the cache.
    """
    kept = sorted(artifacts, key=lambda artifact: artifact.id)
    while kept and of_this_run(kept[-1]):
        kept.pop()
    return kept
