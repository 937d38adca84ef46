"""How many weights each layer loses, by what that does to the answers.

Each layer alone is measured at a few counts of zeros; errors of several layers add up nearly enough (E. Frantar, D.
Alistarh: SPDY, 2022, choose levels by the same sum). Where layers may lose any count, the best is to go down the convex
hulls of all curves, the flattest piece first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

STAYING = 0.02
"""The share of all weights that may stay whole where a pattern would cost the answers most, a weight."""


class Level(NamedTuple):
    """How much worse the answers are when a layer alone has so many zeros: the square of their relative error."""

    zeros: int
    error: float


def levels(size: int, fraction: float) -> list[int]:
    """Return the counts at which a layer of that size is measured when all layers shall lose a share together."""
    shares = (0.5 * fraction, 0.8 * fraction, fraction, 0.6 * fraction + 0.4, 0.3 * fraction + 0.7)
    return sorted({round(share * size) for share in shares} - {0})


def allot(curves: Mapping[str, Sequence[Level]], zeros: int) -> dict[str, int]:
    """Return how many weights of each layer become zero, that many in all, or all that the curves reach.

    Args:
        curves: of each layer, measured levels in the order of their zeros; none at all costs nothing.
        zeros: in all.

    """
    allotted = dict.fromkeys(curves, 0)
    pieces = [
        ((after.error - before.error) / (after.zeros - before.zeros), order, name, before.zeros, after.zeros)
        for order, (name, curve) in enumerate(curves.items())
        for before, after in pairwise(_hull([Level(0, 0.0), *curve]))
    ]
    left = zeros
    for _, _, name, start, stop in sorted(pieces):
        taken = min(stop - start, left)
        allotted[name] += taken
        left -= taken
    return allotted


def staying(errors: Mapping[str, float], sizes: Mapping[str, int]) -> set[str]:
    """Return the layers that stay whole: those that cost the answers most, a weight, within `STAYING` of all weights.

    Only what costs more than the average does is dear.

    Args:
        errors: what a layer alone does to the answers, the square of their relative error.
        sizes: how many weights each layer has.

    """
    room = math.floor(STAYING * sum(sizes.values()))
    stay: set[str] = set()
    average = sum(errors.values()) / max(sum(sizes.values()), 1)
    dear = [name for name in errors if errors[name] > average * sizes[name]]
    for name in sorted(dear, key=lambda name: errors[name] / sizes[name], reverse=True):
        if sizes[name] <= room:
            stay.add(name)
            room -= sizes[name]
    return stay


def _hull(curve: Sequence[Level]) -> list[Level]:
    """Return the corners of the lower convex hull (A. Andrew's monotone chain, 1979)."""
    hull: list[Level] = []
    for level in curve:
        while len(hull) > 1 and _rises_less(hull[-2], hull[-1], level):
            hull.pop()
        hull.append(level)
    return hull


def _rises_less(first: Level, middle: Level, last: Level) -> bool:
    """Whether the middle lies on or above the line from the first to the last."""
    ahead = (last.error - first.error) * (middle.zeros - first.zeros)
    return (middle.error - first.error) * (last.zeros - first.zeros) >= ahead
