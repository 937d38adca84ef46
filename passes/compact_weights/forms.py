"""Forms of a tensor that lose no bit and take fewer bytes, and which of them takes the fewest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from graphopt.tensors import Array
from passes.compact_weights.packing import LARGEST_BASE, Codes, packed_size


@dataclass(frozen=True)
class CodeBook:
    """Few different values, and of each element which one it is.

    Attributes:
        values: in the tensor's own type, [different]; or one book a slice, [slices, different].
        codes: a number below `different` for each element, [elements] or [slices, elements of a slice].
        axis: along which the slices lie in a matrix of the tensor's first axis and all others; None for one book.

    """

    values: Array
    codes: Codes
    axis: int | None = None

    @property
    def base(self) -> int:
        """How many different codes there are, two at least."""
        return max(int(self.values.shape[-1]), 2)

    @property
    def nbytes(self) -> int:
        """What its constants take."""
        return packed_size(self.codes.size, self.base) + self.values.nbytes


@dataclass(frozen=True)
class Masked:
    """One value that most elements have, where the others are, and what they are.

    Attributes:
        background: the value of most, in the tensor's own type, [1].
        mask: where another one is, [elements].
        rest: the others in their order, or a code book of them.

    """

    background: Array
    mask: Codes
    rest: Array | CodeBook

    @property
    def nbytes(self) -> int:
        """What its constants take."""
        return packed_size(self.mask.size, 2) + self.background.nbytes + self.rest.nbytes


Form = CodeBook | Masked

NODES = {CodeBook: 6, Masked: 9}
"""How many nodes make a tensor of each form, at most; those of a masked code book are both."""

_OF_A_NODE = 140
"""Bytes that a node takes in a file, without the name of the weight that stands in it four times."""


def smallest_form(array: Array, name: str) -> Form | None:
    """Return the form that takes the fewest bytes in a file, None where none takes fewer than the tensor does."""
    if array.nbytes <= NODES[CodeBook] * _OF_A_NODE:
        return None  # what no form can undercut is not looked at
    found = [(form.nbytes + _overhead(form, name), order, form) for order, form in enumerate(_forms(array))]
    size, _, form = min(found, default=(array.nbytes, 0, None), key=lambda one: one[:2])
    return form if size < array.nbytes else None


def _overhead(form: Form, name: str) -> int:
    nodes = NODES[type(form)] + (NODES[CodeBook] if isinstance(form, Masked) and isinstance(form.rest, CodeBook) else 0)
    return nodes * (_OF_A_NODE + 4 * len(name.encode()))


def _forms(array: Array) -> Iterator[Form]:
    bits = _bits(array).ravel()
    kinds, codes, counts = np.unique(bits, return_inverse=True, return_counts=True)
    if len(kinds) <= LARGEST_BASE:
        yield CodeBook(kinds.view(array.dtype), codes.astype(np.int64))
    else:
        yield from _by_slices(array)
    most = int(counts.argmax())
    if 1 < counts[most] < bits.size:
        mask = codes != most
        rest = bits[mask]
        kinds_left, codes_left = np.unique(rest, return_inverse=True)
        background = kinds[most : most + 1].view(array.dtype)
        yield Masked(background, mask.astype(np.int64), rest.view(array.dtype))
        if len(kinds_left) <= LARGEST_BASE:
            book = CodeBook(kinds_left.view(array.dtype), codes_left.astype(np.int64))
            yield Masked(background, mask.astype(np.int64), book)


def _by_slices(array: Array) -> Iterator[CodeBook]:
    """Yield code books of rows, and of the columns of a matrix, where each has few values."""
    if array.ndim < 2:
        return
    matrix = _bits(array).reshape(array.shape[0], -1)
    for axis, slices in ((0, matrix), (1, matrix.T)) if array.ndim == 2 else ((0, matrix),):
        ordered = np.sort(slices, axis=1)
        fresh = np.diff(ordered, axis=1, prepend=ordered[:, :1]) != 0
        width = int(fresh.sum(axis=1).max()) + 1
        if width > LARGEST_BASE or width >= slices.shape[1]:
            continue
        books = np.repeat(ordered[:, -1:], width, axis=1)
        rank = fresh.cumsum(axis=1)
        np.put_along_axis(books, rank, ordered, axis=1)
        codes = np.array([np.searchsorted(np.unique(row), row) for row in slices])
        yield CodeBook(books.view(array.dtype), codes, axis)


def _bits(array: Array) -> Array:
    """Return the elements as integers, which tell -0 from 0, and each NaN from others."""
    contiguous = np.ascontiguousarray(array)
    return contiguous.view(np.dtype(f"u{array.dtype.itemsize}"))
