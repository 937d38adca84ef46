"""Weights that have few different values, chosen so that a layer's outputs stay.

The values are those of weighted k-means (S. Han et al.: Deep compression, 2016), where a weight counts as much as what
it is multiplied with: the diagonal of the Gram matrix G = E[x xᵀ]. Where G is known whole, two steps take turns:

- which value a weight has, with errors made good by the weights that follow, and then one by one
  (`graphopt.quantization.rounding`, to a code book instead of integers);
- the values: with codes fixed, (w - c[z]) G (w - c[z])ᵀ, summed over rows, is least where a linear system as large as
  the book holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphopt.calibration.gram import damped
from graphopt.quantization.rounding import Nearest, compensate, descend, quadratic_error
from graphopt.quantization.rows import Float64
from graphopt.sharing.kmeans import best_values

Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DAMPING = 0.01
"""The share of the mean of the diagonal that is added to it, without which unseen inputs had no cost."""

LARGEST_FIT = 1e12
"""Products of numbers that fitting a code book may take; with more, it stays that of k-means."""

ZEROS = 1 / 8
"""The share of zeros from which on a weight is sparse: they stay, and take no place in the code book."""

LARGEST_BOOK = 256
"""Values whose codes fit into a byte."""

_TURNS = 4


@dataclass(frozen=True)
class Book:
    """The values of a weight's rows [groups, rows, columns].

    Attributes:
        values: [1, 1, different], or [groups, rows, different] where each row has a book of its own.

    """

    values: Float64

    def codes(self, rows: Float64) -> Codes:
        """Return of each weight which value is nearest; the values ascend."""
        between = (self.values[..., 1:] + self.values[..., :-1]) / 2
        codes = np.zeros(rows.shape, np.int64)
        for border in np.moveaxis(between, -1, 0):
            codes += rows > border[..., None]
        return codes

    def decode(self, codes: Codes) -> Float64:
        """Return the values of codes."""
        return np.take_along_axis(np.broadcast_to(self.values, (*codes.shape[:2], self.values.shape[-1])), codes, -1)

    def nearest(self, rows: Float64) -> Float64:
        """Return of each weight the nearest value."""
        return self.decode(self.codes(rows))


def share_rows(rows: Float64, count: int, moment: Float64 | None = None, *, by_row: bool = False) -> Float64:
    """Return rows with at most `count` different values, zeros aside where they are many; those stay.

    Args:
        rows: of a weight, [groups, rows, columns].
        count: of values, 1 at least.
        moment: of what the rows are multiplied with, [groups, columns, columns], or the diagonals [groups, columns];
            without it, all weights count alike.
        by_row: whether each row has values of its own.

    """
    kept = _counted(rows)
    book = _by_means(rows, kept, count, _importance(rows, moment), by_row=by_row)
    shared = np.where(kept, book.nearest(rows), 0.0)
    if moment is None or moment.ndim == 2 or rows.size * rows.shape[2] * count > LARGEST_FIT:
        return shared
    solvable = damped(moment, DAMPING)
    candidates = [shared, *_in_turns(rows, kept, book, solvable)]
    return min(candidates, key=lambda one: float(quadratic_error(rows - one, solvable).sum()))


def is_shared(rows: Float64, count: int, *, by_row: bool = False) -> bool:
    """Whether rows have no more values than that already, as `share_rows` counts them."""
    kept = _counted(rows)
    slices = ((rows[place], kept[place]) for place in np.ndindex(rows.shape[:2])) if by_row else ((rows, kept),)
    return all(np.unique(part[mask]).size <= count for part, mask in slices)


def _counted(rows: Float64) -> Mask:
    return rows != 0 if (rows == 0).mean() >= ZEROS else np.ones(rows.shape, bool)


def _in_turns(rows: Float64, kept: Mask, book: Book, moment: Float64) -> list[Float64]:
    """Fit the values and choose them again, in turns; return what each turn found."""
    found = []
    codes = book.codes(rows)
    for _ in range(_TURNS):
        fitted = _fitted(rows, kept, codes, book, moment)
        found.append(np.where(kept, fitted.decode(codes), 0.0))
        if not kept.all():
            break  # error made good by others would fill what is zero
        book = Book(np.sort(fitted.values))
        nearest: Nearest = book.nearest
        codes = book.codes(descend(compensate(rows, moment, nearest), rows, moment, nearest))
        found.append(book.decode(codes))
    return found


def _by_means(rows: Float64, kept: Mask, count: int, importance: Float64, *, by_row: bool) -> Book:
    if not by_row:
        return Book(best_values(rows[kept], importance[kept], count)[None, None])
    values = np.empty((*rows.shape[:2], count))
    for group, row in np.ndindex(rows.shape[:2]):
        chosen = kept[group, row]
        found = best_values(rows[group, row, chosen], importance[group, row, chosen], count) if chosen.any() else [0.0]
        values[group, row] = np.pad(found, (0, count - len(found)), mode="edge")
    return Book(values)


def _fitted(rows: Float64, kept: Mask, codes: Codes, book: Book, moment: Float64) -> Book:
    """Return the values that are best for the codes, in the codes' order; what no weight has stays."""
    books, count = book.values.reshape(-1, book.values.shape[-1]).shape
    first = np.arange(rows.shape[0] * rows.shape[1]).reshape(*rows.shape[:2], 1) * count if books > 1 else 0
    places = (codes + first)[kept]

    def sums(parts: Float64) -> Float64:
        return np.bincount(places, parts[kept], books * count).astype(np.float64).reshape(books, count)

    wanted = sums(rows @ moment)
    system = np.stack([sums(((codes == code) & kept) @ moment) for code in range(count)], axis=-1)
    weight = np.trace(system, axis1=1, axis2=2)[:, None, None] / count
    ridge = np.maximum(1e-9 * weight, np.finfo(np.float32).tiny) * np.eye(count)
    old = book.values.reshape(books, count, 1)
    values = np.linalg.solve(system + ridge, wanted[..., None] + ridge @ old)[..., 0]
    return Book(values.reshape(book.values.shape))


def _importance(rows: Float64, moment: Float64 | None) -> Float64:
    if moment is None:
        return np.ones_like(rows)
    diagonal = moment if moment.ndim == 2 else np.diagonal(moment, axis1=1, axis2=2)
    return np.broadcast_to(np.maximum(diagonal, 0)[:, None], rows.shape)
