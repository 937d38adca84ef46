"""Which layer takes which of its options, so that enough is saved for the least error of the answers.

Errors of the answers are taken to add up as squares, as those of independent causes do. Then this is the knapsack
problem with one choice of each class (H. Kellerer, U. Pferschy, D. Pisinger: Knapsack problems, 2004, chapter 11),
solved by dynamic programming over what is saved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphopt.calibration.gram import Float64

IntArray = npt.NDArray[np.int64]

STEPS = 4000
"""In how many units what is to be saved is counted; what an option saves is rounded down to one."""


class Choice(NamedTuple):
    """What an option saves, in any unit, and what it costs the answers: a mean square."""

    saved: int
    error: float


def allot(choices: Mapping[str, Sequence[Choice]], needed: int) -> dict[str, int] | None:
    """Return the number of the option of each class that takes one; None where all together save too little.

    Args:
        choices: the options of each class, of which it takes one or none.
        needed: how much is to be saved in all.

    """
    unit = max(needed / STEPS, 1)
    target = math.ceil(needed / unit)
    least = np.full(target + 1, np.inf)  # by how many units are saved, the last place being that or more
    least[0] = 0.0
    trails: dict[str, Trail] = {}
    for name, options in choices.items():
        least, trails[name] = _with_class(
            least, [option._replace(saved=int(option.saved / unit)) for option in options]
        )
    return None if np.isinf(least[target]) else dict(_traced(trails, target))


class Trail(NamedTuple):
    """How each place was reached best: by which option, -1 being none, and from which place."""

    option: IntArray
    origin: IntArray


def _with_class(least: Float64, options: Sequence[Choice]) -> tuple[Float64, Trail]:
    best, places = least.copy(), np.arange(len(least))
    trail = Trail(np.full(len(least), -1), places.copy())
    for index, option in enumerate(options):
        moved, origin = _moved(least, min(option.saved, len(least) - 1))
        better = moved + option.error < best
        best[better] = moved[better] + option.error
        trail.option[better], trail.origin[better] = index, origin[better]
    return best, trail


def _moved(least: Float64, units: int) -> tuple[Float64, IntArray]:
    """Return the least error by place when so many units more are saved, and from which place it comes."""
    places = np.arange(len(least))
    moved = np.concatenate([np.full(units, np.inf), least[: len(least) - units]])
    origin = np.maximum(places - units, 0)
    last = len(least) - 1 - units
    origin[-1] = last + int(np.argmin(least[last:]))
    moved[-1] = least[origin[-1]]
    return moved, origin


def _traced(trails: Mapping[str, Trail], place: int) -> Iterator[tuple[str, int]]:
    for name, trail in reversed(list(trails.items())):
        option = int(trail.option[place])
        if option >= 0:
            yield name, option
        place = int(trail.origin[place])
