"""How much an error of a linear map weighs: by the second moment of what it multiplies.

With columns x, a change of W by d moves what the layer makes by a mean square of tr(d·H·dᵀ), H = E[x xᵀ]. Where a bias
takes up the mean of it, H is the covariance. Without data H is the identity, and the error is the Frobenius norm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphopt.calibration.gram import Float64, Gram
from graphopt.factorization.layer import Layer
from graphopt.factorization.linear import weigh

SHRINKAGE = 1e-3
"""How much of the mean square is added to each element's: directions that few samples never took count a little."""


@dataclass(frozen=True)
class Moment:
    """The weight of errors of one layer.

    Attributes:
        matrix: H, [groups, columns, columns], positive definite; or its diagonals, [groups, columns], where that is
            all that is known.
        mean: of each element of a column that a bias can take up, [groups, columns]; zeros where none can.

    """

    matrix: Float64
    mean: Float64

    @staticmethod
    def of(layer: Layer, gram: Gram | None) -> Moment:
        """Return the moment that a Gram matrix tells of a layer; without one, every element counts the same."""
        nothing = np.zeros((layer.groups, layer.columns))
        if gram is None:
            return Moment(np.ones_like(nothing), nothing)
        mean = gram.mean if layer.takes_bias else nothing
        if gram.is_diagonal:
            squares = gram.moment - np.square(mean)
            return Moment(squares + _floor(squares)[:, None], mean)
        centred = gram.moment - mean[:, :, None] * mean[:, None, :]
        floor = _floor(np.diagonal(centred, axis1=1, axis2=2))
        return Moment(centred + floor[:, None, None] * np.eye(layer.columns), mean)

    @property
    def is_blind(self) -> bool:
        """Whether every element of a column counts the same, as without data."""
        return self.matrix.ndim == 2 and bool((self.matrix == 1).all())

    def energy(self, rows: Float64) -> float:
        """Return the mean square of what rows [groups, outputs, columns] make, summed over the outputs."""
        return float((weigh(rows, self.matrix) * rows).sum())

    def through(self, features: Float64) -> Float64:
        """Return the moment of features [groups, q, columns] of the columns, [groups, q, q]."""
        return weigh(features, self.matrix) @ features.transpose(0, 2, 1)

    def marginal(self, axes: Sequence[int], kept: Sequence[int]) -> Float64:
        """Return the moment of some axes of a column, whole or its diagonals as H is: a sum over places of the others.

        It is what weighs a factor that sees nothing of these. `axes` are [inputs, *kernel], `kept` numbers some.
        """
        groups, sides = self.matrix.shape[0], self.matrix.ndim - 1
        first = _LETTERS[: len(axes)]
        second = "".join(letter.upper() if axis in kept else letter for axis, letter in enumerate(first))
        labels = (first, second)[:sides]
        result = "".join(side[axis] for side in labels for axis in kept)
        summed = np.einsum(f"z{''.join(labels)}->z{result}", self.matrix.reshape(groups, *tuple(axes) * sides))
        size = math.prod(axes[axis] for axis in kept)
        return np.asarray(summed).reshape(groups, *[size] * sides)


_LETTERS = "abcdef"
"""One an axis of [inputs, *kernel] in the notation of einsum."""


def _floor(squares: Float64) -> Float64:
    """Return what is added to the mean squares [groups, columns] of each group; 1 where it reads zeros alone."""
    share = SHRINKAGE * squares.mean(axis=1)
    return np.where(share > 0, share, 1.0)
