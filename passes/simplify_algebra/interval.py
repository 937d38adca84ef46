"""Bounds from below and above."""

from __future__ import annotations

import math
from typing import NamedTuple


class Interval(NamedTuple):
    """The bounds, as numbers of the type of x or as Python's infinities."""

    low: float
    high: float

    def clamp(self, number: float) -> float:
        """Return the nearest number inside, as Clip defines it."""
        return min(max(number, self.low), self.high)

    @property
    def is_finite(self) -> bool:
        """Whether there are both bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def opposite(self) -> Interval:
        """The bounds of -x where these are of x."""
        return Interval(-self.high, -min(self.low, self.high))

    def after(self, first: Interval) -> Interval:
        """Return the bounds of `first` and then these."""
        return Interval(self.clamp(min(first.low, first.high)), self.clamp(first.high))

    def within(self, other: Interval) -> Interval:
        """Return what is left of another interval when these bounds cut it off."""
        return Interval(self.clamp(other.low), self.clamp(other.high))

    def joined(self, other: Interval) -> Interval:
        """Return the smallest interval that holds both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def where_left(self, proven: Interval) -> Interval:
        """Return these bounds without those that no number of the proven interval is beyond."""
        low = -math.inf if proven.low >= min(self.low, self.high) else self.low
        return Interval(low, math.inf if proven.high <= self.high else self.high)


EVERYTHING = Interval(-math.inf, math.inf)
