"""Dividing and rounding to a whole number, and when multiplying does the same for every float32 there is.

Both x / s and x · m grow with x, and so does what rounding to nearest makes of them. So they agree everywhere if they
agree where the whole number changes: next to s · (k + ½) of each k. Few scales have such an m, but the next one that
has is some ten units in the last place away.
"""

from __future__ import annotations

import numpy as np

_NEIGHBOURS = 6
"""How many numbers on each side of s · (k + ½) are tried; x / s and x · m are off by less than two units."""
_TRIES = 1 << 14
"""Units in the last place: a thousandth of the scale."""


def reciprocal(scale: float, most: int) -> float | None:
    """Return a float32 m with rint(x · m) = rint(x / scale) for all float32 x of up to most · scale; None if none is.

    Args:
        scale: a positive float32.
        most: the largest whole number.

    """
    divisor = np.float32(scale)
    inverse = np.float32(1) / divisor
    ties = (np.arange(most + 1) + 0.5) * np.float64(divisor)
    numbers = _around(ties.astype(np.float32))
    quotients = np.rint(numbers / divisor)
    for factor in (inverse, np.nextafter(inverse, np.float32(0)), np.nextafter(inverse, np.float32(np.inf))):
        if np.array_equal(np.rint(numbers * factor), quotients):
            return float(factor)
    return None


def next_with_reciprocal(scale: float, most: int) -> float:
    """Return the least float32 from a scale on that has a `reciprocal`; the scale itself where none is near."""
    candidate = np.float32(scale)
    for _ in range(_TRIES):
        if reciprocal(float(candidate), most) is not None:
            return float(candidate)
        candidate = np.nextafter(candidate, np.float32(np.inf))
    return scale


def _around(numbers: np.ndarray[tuple[int], np.dtype[np.float32]]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    above, below = [numbers], [numbers]
    for _ in range(_NEIGHBOURS):
        above.append(np.nextafter(above[-1], np.float32(np.inf)))
        below.append(np.nextafter(below[-1], np.float32(-np.inf)))
    return np.stack([*reversed(below[1:]), *above])
