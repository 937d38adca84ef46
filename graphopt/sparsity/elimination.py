"""Which weights a layer's outputs miss least, one after the other: optimal brain compression.

Removing weight p of a row w, with the others moved to make good for it, costs w_p² / [H⁻¹]_pp in mean square, and the
others move by -w_p / [H⁻¹]_pp · [H⁻¹]_:p, H being the moments of what the row multiplies. The cheapest goes, H⁻¹ loses
its row and column, and so on (B. Hassibi, D. Stork: Optimal brain surgeon, 1993; E. Frantar, D. Alistarh: Optimal brain
compression, 2022, algorithm 1). Rows do not touch each other, so that the steps of all rows, sorted by cost, tell which
weights go for every count at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphopt.quantization.rows import Float64
from graphopt.sparsity.pattern import IntArray, Mask, Pattern

_DELAYED = 32  # eliminated rows and columns that are taken out of the inverse by one product


@dataclass(frozen=True)
class Elimination:
    """In which order the weights of each row go, and what each costs.

    Attributes:
        order: columns, the first to go first, [groups, rows, steps].
        cost: what each step adds to the mean square error of the output, [groups, rows, steps].
        columns: of a row.

    """

    order: IntArray
    cost: Float64
    columns: int

    def mask(self, zeros: int) -> Mask:
        """Return which weights stay when that many go: the cheapest steps of all rows, in the order of each."""
        due = np.maximum.accumulate(self.cost, axis=-1)  # a step waits for those before it
        gone = np.zeros(due.size, bool)
        gone[np.argsort(due, axis=None, kind="stable")[:zeros]] = True
        mask = np.ones((*self.order.shape[:2], self.columns), bool)
        np.put_along_axis(mask, self.order, ~gone.reshape(due.shape), axis=-1)
        return mask


def eliminate(rows: Float64, moment: Float64, pattern: Pattern | None = None, taps: int = 1) -> Elimination:
    """Return in which order all weights go, or as many as a pattern asks for.

    Time grows with rows · columns³.

    Args:
        rows: [groups, rows, columns].
        moment: of what they multiply, positive definite, [groups, columns, columns].
        pattern: which weights may go together; any by default.
        taps: how many columns an input channel has.

    """
    columns = rows.shape[2]
    groups = np.zeros(columns, np.int64) if pattern is None else pattern.groups(columns, taps)
    spare = np.maximum(np.bincount(groups) - (0 if pattern is None else pattern.kept), 0)
    inverse = np.linalg.inv(moment)
    found = [[_sweep(row, inverse[group], groups, spare) for row in rows[group]] for group in range(len(rows))]
    order, cost = (np.array([[one[part] for one in group] for group in found]) for part in (0, 1))
    return Elimination(order.astype(np.int64), cost, columns)


def _sweep(row: Float64, inverse: Float64, groups: IntArray, spare: IntArray) -> tuple[IntArray, Float64]:
    """Return the columns of one row in the order in which they go, and what each costs.

    The inverse is kept as H⁻¹ - U Uᵀ, whose few columns U are those that went last; only its diagonal, and a column
    when it is asked for, are computed at each step.
    """
    names, left = np.arange(len(row)), spare.copy()
    weights, inverse, groups = row.copy(), inverse.copy(), groups.copy()
    order, cost = [], []
    while len(weights):
        updates = np.zeros((len(weights), _DELAYED))
        diagonal, alive = np.diagonal(inverse).copy(), np.ones(len(weights), bool)
        for step in range(min(_DELAYED, int(left.sum()))):
            price = np.where(alive & (left[groups] > 0), np.square(weights) / diagonal, np.inf)
            chosen = int(price.argmin())
            column = (inverse[chosen] - updates[:, :step] @ updates[chosen, :step]) / np.sqrt(diagonal[chosen])
            order.append(names[chosen])
            cost.append(price[chosen])
            weights -= column * (weights[chosen] / column[chosen])
            updates[:, step] = column
            diagonal -= np.square(column)
            alive[chosen], diagonal[chosen] = False, 1.0
            left[groups[chosen]] -= 1
        if not left.sum():
            break
        inverse -= updates @ updates.T
        inverse = inverse[np.ix_(alive, alive)]
        weights, names, groups = weights[alive], names[alive], groups[alive]
    return np.array(order, np.int64), np.array(cost)
