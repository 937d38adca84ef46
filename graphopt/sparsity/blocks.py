"""Removing weights block by block of columns, all rows at once: for layers too wide to take one weight at a time.

The columns have one order for all rows. In each block those weights go that cost least, w_j² / [R_jj]², and what each
costs is made good by the columns that follow it, with R upper triangular and H⁻¹ = Rᵀ R (E. Frantar, D. Alistarh:
SparseGPT, 2023, algorithm 1). Time grows with (rows + columns) · columns².
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from graphopt.quantization.rows import Float64
from graphopt.sparsity.pattern import IntArray, Mask, Pattern, keep_in_groups, keep_largest

_BLOCK = 128


def thin_in_blocks(
    rows: Float64, moment: Float64, zeros: int, pattern: Pattern | None = None, taps: int = 1
) -> Float64:
    """Return rows with that many zeros, or as many as a pattern asks for, whose others make good for them.

    Args:
        rows: [groups, rows, columns].
        moment: of what they multiply, positive definite, [groups, columns, columns].
        zeros: how many weights go; a pattern decides instead where there is one.
        pattern: how many weights of a group of columns may stay.
        taps: how many columns an input channel has.

    """
    columns = rows.shape[2]
    groups = np.arange(columns) if pattern is None else pattern.groups(columns, taps)
    order = np.argsort(groups, kind="stable")  # a group lies in one block
    factor = np.linalg.cholesky(np.linalg.inv(moment[:, order][:, :, order])).transpose(0, 2, 1)
    moved = rows[..., order].copy()
    for start, stop in pairwise(_borders(groups[order])):
        cost = np.square(moved[..., start:stop] / np.diagonal(factor, axis1=1, axis2=2)[:, None, start:stop])
        if pattern is None:
            mask = keep_largest(cost, _due(zeros, stop, columns) - _due(zeros, start, columns))
        else:
            mask = keep_in_groups(cost, groups[order[start:stop]], pattern.kept)
        _remove(moved, factor, mask, start, stop)
    return moved[..., np.argsort(order)]


def _borders(groups: IntArray) -> list[int]:
    """Return where blocks start, at the beginning of a group each, and where the last one ends."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    _, first = np.unique(starts // _BLOCK, return_index=True)
    return [*starts[first].tolist(), len(groups)]


def _due(zeros: int, columns: int, of: int) -> int:
    return round(zeros * columns / of)


def _remove(moved: Float64, factor: Float64, mask: Mask, start: int, stop: int) -> None:
    """Set what is masked of a block to zero, and carry each error to the columns that follow."""
    errors = np.zeros_like(mask, float)
    for column in range(start, stop):
        gone = ~mask[..., column - start]
        error = np.where(gone, moved[..., column], 0.0) / factor[:, None, column, column]
        moved[..., column:stop] -= error[..., None] * factor[:, None, column, column:stop]
        moved[..., column][gone] = 0.0
        errors[..., column - start] = error
    moved[..., stop:] -= errors @ factor[:, start:stop, stop:]
