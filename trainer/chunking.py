"""Long lists in chunks of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def chunks(sizes: Iterable[int], most: int) -> Iterator[slice]:
    """Slices of a list of items of such `sizes`, in order: each of size `most` at most, or one item."""
    ends = np.cumsum(np.fromiter(sizes, np.int64))
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start = stop
