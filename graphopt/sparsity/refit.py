"""Moving the weights that are left of a row to where its output errs least.

With mask S, moments H and the row w that was, ŵ_S = H_SS⁻¹ (H w)_S: what optimal brain compression comes to, whatever
the order in which weights went. Where the rows are too wide to solve for one after the other, all of them descend at
once, by conjugate gradients, from where they are; each step lessens the error.
"""

from __future__ import annotations

import numpy as np

from graphopt.conjugate_gradients import conjugate_gradients
from graphopt.quantization.rows import Float64
from graphopt.sparsity.pattern import Mask

_STEPS = 64


def refit(rows: Float64, mask: Mask, moment: Float64) -> Float64:
    """Return rows whose masked weights are zero and whose others make good for them, in the least squares.

    Args:
        rows: the whole ones, [groups, rows, columns].
        mask: which weights stay, [groups, rows, columns].
        moment: of what they multiply, positive definite, [groups, columns, columns].

    """
    fitted = np.zeros_like(rows)
    wanted = rows @ moment
    for group, row in np.ndindex(rows.shape[:2]):
        kept = np.flatnonzero(mask[group, row])
        fitted[group, row, kept] = np.linalg.solve(moment[group][np.ix_(kept, kept)], wanted[group, row, kept])
    return fitted


def descend(start: Float64, rows: Float64, mask: Mask, moment: Float64) -> Float64:
    """Return what `refit` tends to, from rows with this mask already; time grows with rows · columns²."""
    return start + conjugate_gradients(moment, (rows - start) @ moment, mask, _STEPS)
