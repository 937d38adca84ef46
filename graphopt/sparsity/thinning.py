"""The ways to choose which weights of a layer become zero, behind one function: so many zeros in, new rows out."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np

from graphopt.calibration.gram import damped
from graphopt.quantization.rows import Float64
from graphopt.sparsity.blocks import thin_in_blocks
from graphopt.sparsity.elimination import eliminate
from graphopt.sparsity.pattern import Pattern, keep_in_groups, keep_largest
from graphopt.sparsity.refit import descend, refit

Thin = Callable[[int], Float64]
"""Takes how many weights go, returns rows [groups, rows, columns]; with a pattern, that says how many go."""

DAMPING = 0.01
"""The share of the mean of the diagonal that is added to it, without which unseen inputs had no cost."""

LARGEST_SWEEP = 3e11
"""Rows · columns³ up to which weights go one after the other: a minute or so of one core."""


class Method(StrEnum):
    """What tells which weights go.

    `magnitude`: the smallest ones, by their absolute values (S. Han et al.: Learning both weights and connections,
    2015). `random`: any, by a seed. `obc`: those that the layer's output misses least, as what it was multiplied with
    on data says; the others make good for them (`graphopt.sparsity.elimination`).
    """

    MAGNITUDE = "magnitude"
    RANDOM = "random"
    OBC = "obc"


def by_scores(rows: Float64, scores: Float64, pattern: Pattern | None, taps: int) -> Thin:
    """Remove the weights with the smallest scores; zeros go before all others."""
    order = np.where(rows == 0, -np.inf, scores)

    def thin(zeros: int) -> Float64:
        if pattern is None:
            return np.where(keep_largest(order, zeros), rows, 0.0)
        groups = pattern.groups(rows.shape[2], taps)
        return np.where(keep_in_groups(order, groups, pattern.kept), rows, 0.0)

    return thin


def by_magnitude(rows: Float64, pattern: Pattern | None = None, taps: int = 1) -> Thin:
    """Remove the smallest weights."""
    return by_scores(rows, np.abs(rows), pattern, taps)


def at_random(rows: Float64, rng: np.random.Generator, pattern: Pattern | None = None, taps: int = 1) -> Thin:
    """Remove any weights."""
    return by_scores(rows, rng.random(rows.shape), pattern, taps)


def by_elimination(rows: Float64, spread: Float64, pattern: Pattern | None = None, taps: int = 1) -> Thin:
    """Remove what the output misses least, and move the others.

    Args:
        rows: [groups, rows, columns].
        spread: moments of what they multiply, [groups, columns, columns]; where only their diagonals are known,
            [groups, columns], nothing can make good for anything, and a weight costs its square times its moment.
        pattern: which weights may go together; any by default.
        taps: how many columns an input channel has.

    """
    if spread.ndim == 2:
        return by_scores(rows, np.square(rows) * spread[:, None], pattern, taps)
    moment = damped(spread, DAMPING)
    if rows.size * rows.shape[2] ** 2 > LARGEST_SWEEP:
        return lambda zeros: _in_blocks(rows, moment, zeros, pattern, taps)
    elimination = eliminate(rows, moment, pattern, taps)
    steps = elimination.order.size
    return lambda zeros: refit(rows, elimination.mask(zeros if pattern is None else steps), moment)


def _in_blocks(rows: Float64, moment: Float64, zeros: int, pattern: Pattern | None, taps: int) -> Float64:
    thinned = thin_in_blocks(rows, moment, zeros, pattern, taps)
    return descend(thinned, rows, thinned != 0, moment)
