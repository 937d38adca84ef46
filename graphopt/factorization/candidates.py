"""What is worth trying of a layer: the options that save most for their error, as far as the layer itself tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphopt.factorization.factor import error, factor
from graphopt.factorization.layer import Layer
from graphopt.factorization.moment import Moment
from graphopt.factorization.options import Option, options


@dataclass(frozen=True)
class Candidate:
    """An option of a layer.

    Attributes:
        layer: the name of the value that it makes.
        option: how it is written.
        saved: in the measure that was asked for.
        error: the mean square that the layer errs by, as a share of that of what it makes.

    """

    layer: str
    option: Option
    saved: int
    error: float


def candidates(layer: Layer, moment: Moment, measure: str, lanes: int) -> list[Candidate]:
    """Return the corners of the convex hull of what the options save and how far they err, the cheapest saving first.

    Those between are worse than a mixture of two corners, and where many layers share a budget hardly ever taken.
    """
    found = [
        Candidate(layer.name, option, saved, error(layer, moment, factor(layer, moment, option.form, option.ranks)))
        for option, saved in options(layer, measure, lanes)
    ]
    return _corners(sorted(found, key=lambda one: (one.saved, -one.error)))


def _corners(ascending: Sequence[Candidate]) -> list[Candidate]:
    """Keep the lower hull, from nothing saved without an error on."""
    corners: list[Candidate] = []
    for one in ascending:
        while corners and _price(corners[-1], corners[-2] if len(corners) > 1 else None) >= _price(one, corners[-1]):
            corners.pop()
        corners.append(one)
    return corners


def _price(one: Candidate, before: Candidate | None) -> float:
    """Return the error of each unit that one saves more than another, or than nothing."""
    saved, error_before = (0, 0.0) if before is None else (before.saved, before.error)
    return (one.error - error_before) / (one.saved - saved) if one.saved > saved else -float("inf")
