"""What is worth trying of a layer: the options that save most for their error, as far as the layer itself tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphopt.factorization.chain import Chain
from graphopt.factorization.factor import error, factor
from graphopt.factorization.layer import Layer
from graphopt.factorization.moment import Moment
from graphopt.factorization.options import Option

_LEAST = 1e-9


@dataclass(frozen=True)
class Candidate:
    """An option of a layer.

    Attributes:
        layer: the name of the value that it makes.
        option: how it is written.
        saved: in the measure that was asked for.
        error: the mean square that the layer errs by, as a share of that of what it makes.
        answers: what that costs the answers: a mean square, or what stands for it.

    """

    layer: str
    option: Option
    saved: int
    error: float
    answers: float


Judge = Callable[[Layer, Chain, float], float]
"""Says what a chain in the place of a layer, which errs by a share, costs the answers."""


def by_share(layer: Layer, chain: Chain, share: float) -> float:  # noqa: ARG001  # a `Judge`
    """Return what stands for the error of the answers where no data tell it.

    Layers follow each other, and of what each of them makes the next gets a share; so with the share e of what a layer
    makes that is wrong, -log(1 - e) adds up along the network, and grows without bounds for one that makes nothing.
    """
    return -math.log(max(1 - share, _LEAST))


def candidates(layer: Layer, moment: Moment, offered: Iterable[tuple[Option, int]], judge: Judge) -> list[Candidate]:
    """Return the corners of the convex hull of what options save and how far they err, the smallest saving first.

    Those between are worse than a mixture of two corners, and where many layers share a budget hardly ever taken.

    Args:
        layer: the layer.
        moment: how much its errors weigh.
        offered: options with what they save.
        judge: of the corners.

    """
    tried = [
        _Tried(option, saved, error(layer, moment, factor(layer, moment, option.form, option.ranks)))
        for option, saved in offered
    ]
    found = []
    for one in _corners(sorted(tried, key=lambda one: (one.saved, -one.error))):
        chain = factor(layer, moment, one.option.form, one.option.ranks)  # again: all of them at once are too large
        found.append(Candidate(layer.name, one.option, one.saved, one.error, judge(layer, chain, one.error)))
    return found


class _Tried(NamedTuple):
    option: Option
    saved: int
    error: float


def _corners(ascending: Sequence[_Tried]) -> list[_Tried]:
    """Keep the lower hull, from nothing saved without an error on."""
    corners: list[_Tried] = []
    for one in ascending:
        while corners and _price(corners[-1], corners[-2] if len(corners) > 1 else None) >= _price(one, corners[-1]):
            corners.pop()
        corners.append(one)
    return corners


def _price(one: _Tried, before: _Tried | None) -> float:
    """Return the error of each unit that one saves more than another, or than nothing."""
    saved, error_before = (0, 0.0) if before is None else (before.saved, before.error)
    return (one.error - error_before) / (one.saved - saved) if one.saved > saved else -float("inf")
