"""Backward elimination of blocks of columns from a least-squares problem, several problems in step.

For a weight W [rows, K] and H = E[x xᵀ] of the columns that it multiplies, leaving out the columns c costs at the
least, with all other columns refitted, tr(W_c (H⁻¹_cc)⁻¹ W_cᵀ); then W ← W - W_c (H⁻¹_cc)⁻¹ H⁻¹_c: and
H⁻¹ ← H⁻¹ - H⁻¹_:c (H⁻¹_cc)⁻¹ H⁻¹_c: (E. Frantar, D. Alistarh: Optimal brain compression, 2022; with blocks as in
E. Kurtic et al.: ZipLM, 2023). What the steps take from H⁻¹ are the panels of a block Cholesky factorization of it,
pivoted by the cost. They are applied to the rows that a step needs, when it needs them: K³ operations in all, in
products of matrices, and H⁻¹ is read rather than written over and over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Problem(Protocol):
    """What loses columns block by block."""

    def costs(self) -> Float64:
        """Return what it costs to take each block, [blocks]; anything for those that are gone."""

    def take(self, block: int) -> None:
        """Leave a block out, and refit the others."""


class DenseProblem:
    """One where columns stand in for each other.

    Args:
        weight: [rows, K].
        moment: H [K, K], positive definite.
        blocks: how many blocks there are, over all problems.
        members: the numbers of the blocks that have columns here, [m].
        columns: of each of these, [m, t].

    Raises:
        LinAlgError: H is not positive definite.

    """

    def __init__(self, weight: Float64, moment: Float64, blocks: int, members: IntArray, columns: IntArray) -> None:
        self._weight = weight.copy()
        self._inverse = inverse(moment)
        self._panels = np.zeros((columns.size, len(moment)))
        self._done = 0
        self._blocks, self._columns = blocks, columns
        self._members = members
        self._place = {int(member): index for index, member in enumerate(members)}
        self._pivots = self._inverse[columns[:, :, None], columns[:, None, :]]

    def costs(self) -> Float64:
        """Return tr(W_c (H⁻¹_cc)⁻¹ W_cᵀ) by block."""
        found = np.zeros(self._blocks)
        if self._columns.shape[1] == 1:
            squares = np.square(self._weight).sum(axis=0)[self._columns[:, 0]]
            found[self._members] = squares / self._pivots[:, 0, 0]
            return found
        rows = self._weight[:, self._columns].transpose(1, 2, 0)  # [m, t, rows]
        found[self._members] = np.trace(np.linalg.solve(self._pivots, rows @ rows.transpose(0, 2, 1)), axis1=1, axis2=2)
        return found

    def take(self, block: int) -> None:
        """Leave a block out, and refit the others."""
        place = self._place.get(block)
        if place is None:
            return
        columns, done = self._columns[place], self._done
        size = len(columns)
        taken = self._panels[:done]
        rows = self._inverse[columns] - taken[:, columns].T @ taken
        factor = np.linalg.cholesky((rows[:, columns] + rows[:, columns].T) / 2)
        panel = np.linalg.solve(factor, rows)
        self._weight -= np.linalg.solve(factor, self._weight[:, columns].T).T @ panel
        self._weight[:, columns] = 0
        blocks = panel[:, self._columns].transpose(1, 2, 0)  # [m, t, size]
        self._pivots -= blocks @ blocks.transpose(0, 2, 1)
        self._pivots[place] = np.eye(size)
        self._panels[done : done + size] = panel
        self._done += size


class DiagonalProblem:
    """One whose columns are known, or taken, not to stand in for each other: a block costs Σ w² · E[x²].

    Args:
        weight: [rows, K].
        moment: the diagonal of H, [K].
        blocks, members, columns: as for `DenseProblem`.

    """

    def __init__(self, weight: Float64, moment: Float64, blocks: int, members: IntArray, columns: IntArray) -> None:
        self._costs = np.zeros(blocks)
        self._costs[members] = (np.square(weight).sum(axis=0) * moment)[columns].sum(axis=1)

    def costs(self) -> Float64:
        """Return Σ w² · E[x²] by block."""
        return self._costs

    def take(self, block: int) -> None:
        """Leave a block out; the others stay as they are."""


def sweep(problems: Sequence[Problem], scales: Sequence[float], blocks: int) -> tuple[IntArray, Float64]:
    """Take one block after the other, each the one of the least cost over all problems.

    Args:
        problems: each loses the same blocks.
        scales: what the cost of each is multiplied with.
        blocks: how many there are.

    Returns: the blocks in their order [blocks], and the cost of the first n of them together [blocks + 1].

    """
    order, added = np.zeros(blocks, np.int64), np.zeros(blocks + 1)
    is_left = np.ones(blocks, np.bool_)
    for step in range(blocks):
        costs = np.zeros(blocks)
        for problem, scale in zip(problems, scales, strict=True):
            costs += scale * problem.costs()
        block = int(np.argmin(np.where(is_left, costs, np.inf)))
        order[step], added[step + 1] = block, max(costs[block], 0.0)
        is_left[block] = False
        for problem in problems:
            problem.take(block)
    return order, np.cumsum(added)


def inverse(moment: Float64) -> Float64:
    """Return the inverse of a symmetric matrix, symmetric too; raises LinAlgError where it is not positive definite."""
    factor = np.linalg.inv(np.linalg.cholesky(moment))
    return np.asarray(factor.T @ factor)
