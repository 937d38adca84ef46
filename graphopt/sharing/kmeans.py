"""The few values that stand for many best: weighted k-means on a line, exact.

Sorted points fall into clusters that are intervals, so that D_k(j) = min_i D_{k-1}(i) + cost of the points from i to j
is found by dynamic programming (H. Wang, M. Song: Ckmeans.1d.dp, 2011), and the best i grows with j, so that halving
intervals finds each D_k in O(n log n) (X. Wu: Optimal quantization by matrix searching, 1991).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphopt.quantization.rows import Float64

LARGEST = 1 << 12
"""Different points up to which the result is exact; of more, neighbours are taken together before, by their mean.

What 16 values cost more by that is some hundred-thousandths.
"""

_Index = npt.NDArray[np.int64]


def best_values(points: Float64, weights: Float64, count: int) -> Float64:
    """Return at most `count` values c, ascending, that minimize Σ weight · (point - nearest c)².

    Args:
        points: any shape.
        weights: not negative, of the same shape; where all are 0, points count alike.
        count: of values, 1 at least.

    """
    places, mass = _merged(points.ravel(), weights.ravel())
    if len(places) <= count:
        return places
    moments = _Moments(places, mass)
    cost = np.append(0.0, moments.cost(np.zeros(len(places), np.int64), np.arange(1, len(places) + 1)))
    starts = []
    for _ in range(count - 1):
        cost, start = _next_row(cost, moments)
        starts.append(start)
    borders = [len(places)]
    for start in reversed(starts):
        borders.append(int(start[borders[-1]]))
    edges = np.unique([0, *borders])
    return moments.mean(edges[:-1], edges[1:])


def _merged(points: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Return different points in their order, and their weights."""
    weights = weights if weights.any() else np.ones_like(weights)
    seen = weights > 0
    places, which = np.unique(points[seen], return_inverse=True)
    mass = np.bincount(which, weights[seen]).astype(np.float64)
    if len(places) <= LARGEST:
        return places, mass
    bins = np.arange(len(places)) * LARGEST // len(places)
    together = np.bincount(bins, mass)
    return np.asarray(np.bincount(bins, mass * places) / together), np.asarray(together, np.float64)


class _Moments:
    """Sums over prefixes, from which the cost of an interval is had at once."""

    def __init__(self, places: Float64, mass: Float64) -> None:
        self._origin = np.average(places, weights=mass)
        centred = places - self._origin  # squares of large numbers would cancel
        sums = (mass, mass * centred, mass * centred**2)
        self._mass, self._first, self._second = (np.append(0.0, np.cumsum(each)) for each in sums)

    def cost(self, start: _Index, stop: _Index) -> Float64:
        """Return Σ weight · (point - mean)² of the points from `start` on, before `stop`; 0 of none."""
        mass, first = self._mass[stop] - self._mass[start], self._first[stop] - self._first[start]
        mean = np.divide(first, mass, out=np.zeros_like(first), where=mass > 0)
        return np.asarray(np.maximum(self._second[stop] - self._second[start] - first * mean, 0.0))

    def mean(self, start: _Index, stop: _Index) -> Float64:
        """Return the weighted mean of the points from `start` on, before `stop`."""
        mass, first = self._mass[stop] - self._mass[start], self._first[stop] - self._first[start]
        return np.asarray(first / mass + self._origin)


def _next_row(cost: Float64, moments: _Moments) -> tuple[Float64, _Index]:
    """Return the least cost of each prefix with one cluster more, and where that cluster starts.

    Prefixes are settled in rounds, each halfway between those settled before, whose starts bound its own.
    """
    size = len(cost)
    found, start = np.zeros(size), np.zeros(size, np.int64)
    step = 1 << (size.bit_length() - 1)
    while step:
        stops = np.arange(step - 1, size, 2 * step)
        lower = np.where(stops >= step, start[stops - step], 0)
        upper = np.minimum(np.where(stops + step < size, start[np.minimum(stops + step, size - 1)], size), stops)
        found[stops], start[stops] = _best_starts(cost, moments, stops, lower, upper)
        step //= 2
    return found, start


def _best_starts(
    cost: Float64, moments: _Moments, stops: _Index, lower: _Index, upper: _Index
) -> tuple[Float64, _Index]:
    counts = upper - lower + 1
    firsts = np.cumsum(counts) - counts
    candidates = np.arange(counts.sum()) - np.repeat(firsts - lower, counts)
    total = cost[candidates] + moments.cost(candidates, np.repeat(stops, counts))
    best = np.minimum.reduceat(total, firsts)
    is_best = total == np.repeat(best, counts)
    return best, np.minimum.reduceat(np.where(is_best, candidates, len(cost)), firsts)
