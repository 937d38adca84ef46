"""Choosing among ways to choose ranges by what they do to the answers.

What a tensor loses by itself says little about what the answers lose: few of its elements may matter, and errors of
clipping add up where those of rounding cancel out. So whole sets of ranges are tried: first each method for all
tensors, then the others for a stretch of neighbouring tensors at a time, kept where the answers get better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graphopt.calibration.ranges import Range

STRETCHES = 16
"""How many stretches all tensors are parted into: each costs as many trials as there are other methods."""

Ranges = Mapping[str, Range]


def trials(methods: int, tensors: int) -> int:
    """Return how many sets of ranges `best_ranges` tries."""
    return methods + (methods - 1) * min(STRETCHES, tensors)


def best_ranges(
    candidates: Mapping[str, Ranges], error: Callable[[Ranges], float], chance: float = 0.0
) -> tuple[dict[str, Range], float]:
    """Return the ranges with the least error found, and that.

    Args:
        candidates: by method, ranges by the name of the tensor; all for the same tensors in the order of the graph.
        error: of the answers with a set of ranges.
        chance: by which share the error has to get less for a stretch to be changed: few samples tell little.

    """
    errors = {method: error(ranges) for method, ranges in candidates.items()}
    first = min(errors, key=lambda method: errors[method])
    best, least = dict(candidates[first]), errors[first]
    others = [ranges for method, ranges in candidates.items() if method != first]
    names = list(best)
    count = min(STRETCHES, len(names))
    for index in range(count):
        stretch = names[len(names) * index // count : len(names) * (index + 1) // count]
        for ranges in others:
            tried = best | {name: ranges[name] for name in stretch}
            found = error(tried)
            if found < least * (1 - chance):
                best, least = tried, found
    return best, least
