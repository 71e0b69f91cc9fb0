"""Distances between two samples, and what chance alone gives between samples of such sizes. Numpy only.

TFDV has drift comparators of its own. On numbers its Jensen-Shannon divergence interpolates histograms, so
that it does not fall to 0 with more rows, and one outlier makes it 1: decision 36 has the figures.
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

# Of so many comparisons of samples of the same source, one is beyond `chance`.
CHANCE = 1e-4
_QUANTILES = np.linspace(0.05, 0.95, 19)


def edges_of(values: np.ndarray) -> np.ndarray:
    """Edges of a histogram: the extremes and each twentieth of what lies between, without doubles.

    Below the first edge and above the last there is none of `values`; both bins are for others.

    Args:
      values: [rows], at least one.
    """
    inner = np.quantile(values, _QUANTILES, method="inverted_cdf")
    return np.unique([np.nextafter(values.min(), -np.inf), *inner, values.max()])


def histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts [edges + 1]: up to the first edge, up to the second, ..., beyond the last."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence of two histograms of counts, in bits: 0 for equal shares, 1 for disjoint.

    It is 1, too, between a histogram that counts nothing and one that counts something.
    Lin 1991, "Divergence measures based on the Shannon entropy", equation 4.1, weights one half.
    """
    if np.array_equal(p, q):
        return 0.0
    # Nothing has no shares: scipy's answer is NaN.
    return float(jensenshannon(p, q, base=2) ** 2) if p.any() and q.any() else 1.0


def chance_of_divergence(p: np.ndarray, q: np.ndarray, rows: tuple[int, int], comparisons: int = 1) -> float:
    """The divergence that samples of one source stay below, but for CHANCE.

    To second order the divergence of two samples is X2 (1/n + 1/m) / (8 ln 2) bits, and X2 is distributed
    as chi squared with as many degrees of freedom as bins less one: Grosse et al. 2002, "Analysis of symbolic
    sequences using the Jensen-Shannon divergence", for weights one half.

    Args:
      p: counts of the reference.
      q: counts of the sample.
      rows: how many independent draws each has.
      comparisons: how many such divergences the largest is taken of.
    """
    freedom = max(int(np.count_nonzero(p + q)) - 1, 1)
    return float(stats.chi2.isf(CHANCE / comparisons, freedom) * _per_draw(rows) / (8 * np.log(2)))


def chance_of_mean(deviations: tuple[float, float], rows: tuple[int, int]) -> float:
    """The difference of two means that samples of one source stay below, but for CHANCE."""
    return _z() * float(np.sqrt(sum(d**2 / max(n, 1) for d, n in zip(deviations, rows, strict=True))))


def chance_of_share(share: float, rows: tuple[int, int], comparisons: int) -> float:
    """The same for the share of one of `comparisons` classes, given its share in both samples together."""
    return _z(comparisons) * float(np.sqrt(share * (1 - share) * _per_draw(rows)))


def chance_of_correlation(rows: tuple[int, int]) -> float:
    """The same for two correlations. Fisher's z has variance 1/(n-3), and a correlation varies less."""
    return _z() * float(np.sqrt(sum(1 / max(n - 3, 1) for n in rows)))


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's; None where one of the two is constant."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def ratio(part: np.ndarray, whole: np.ndarray) -> tuple[float, float]:
    """`part` over `whole`, summed over rows, and the standard error that rows give it.

    Rows are drawn, not tokens: those of one row come and go together (Cochran 1977, "Sampling Techniques",
    chapter 6, ratio estimators).
    """
    total = whole.sum()
    if not total:
        return 0.0, 0.0
    value = part.sum() / total
    return float(value), float(np.sqrt(np.sum((part - value * whole) ** 2)) / total)


def _per_draw(rows: tuple[int, int]) -> float:
    return sum(1 / max(n, 1) for n in rows)


def _z(comparisons: int = 1) -> float:
    return float(stats.norm.isf(CHANCE / 2 / comparisons))
