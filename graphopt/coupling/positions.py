"""Union-find over (value, axis, index), on whole axes at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphopt.coupling.groups import IntArray, Place

NO_REASON = np.iinfo(np.int64).max


class Positions:
    """The positions of all axes, which of them belong together, and which of them stay.

    A class is known by the smallest of its positions. Numbers are given in the order in which axes are added.
    """

    def __init__(self) -> None:
        self._axes: dict[Place, IntArray] = {}
        self._size = 0
        self._roots: IntArray = np.zeros(0, np.int64)
        self._pairs: list[tuple[IntArray, IntArray]] = []
        self._frozen: list[tuple[IntArray, int]] = []
        self._reasons: list[str] = []
        self._first: IntArray = np.zeros(0, np.int64)
        self._kept: IntArray = self._first
        self._stale = False

    def add(self, place: Place, size: int) -> None:
        """Give numbers to the positions of an axis, once."""
        if place not in self._axes:
            self._axes[place] = np.arange(self._size, self._size + size)
            self._size += size

    def at(self, place: Place) -> IntArray:
        """Return the numbers of an axis's positions."""
        return self._axes[place]

    def __contains__(self, place: Place) -> bool:
        return place in self._axes

    def __len__(self) -> int:
        return self._size

    def axes(self) -> Iterator[tuple[Place, IntArray]]:
        """Yield every axis with the numbers of its positions, in their order."""
        yield from self._axes.items()

    def tie(self, first: IntArray, second: IntArray) -> None:
        """Put the positions `first[i]` and `second[i]` into one class."""
        self._pairs.append((first, second))
        self._stale = True

    def freeze(self, positions: IntArray, why: str) -> None:
        """Let positions stay, with all of their classes."""
        self._frozen.append((positions, len(self._reasons)))
        self._reasons.append(why)
        self._stale = True

    def classes(self) -> IntArray:
        """Return the class of each position."""
        self._merge()
        return self._roots

    def kept(self) -> IntArray:
        """Return for each position which reason lets its class stay, the first one given; NO_REASON where none does."""
        if self._stale or self._kept.size != self._size:
            self._kept = self._find_kept()
            self._stale = False
        return self._kept

    def reason(self, number: int) -> str:
        """Return a reason in words."""
        return self._reasons[number]

    def _find_kept(self) -> IntArray:
        roots = self.classes()
        first = np.full(self._size, NO_REASON)
        first[: self._first.size] = self._first
        for positions, number in reversed(self._frozen):
            first[positions] = np.minimum(first[positions], number)
        self._frozen.clear()
        self._first = first
        of_class = np.full(self._size, NO_REASON)
        np.minimum.at(of_class, roots, first)
        return of_class[roots]

    def _merge(self) -> None:
        """Take the pairs in that have come since."""
        roots = np.concatenate([self._roots, np.arange(self._roots.size, self._size)])
        if self._pairs:
            first, second = (np.concatenate(side) for side in zip(*self._pairs, strict=True))
            self._pairs.clear()
            roots = united(roots, first, second)
        self._roots = roots


def united(roots: IntArray, first: IntArray, second: IntArray) -> IntArray:
    """Return the smallest member of each one's class when the classes of `first[i]` and `second[i]` are one.

    `roots` says the same of the classes that there were. Each larger root points to the smallest one that it meets,
    until all pairs have the same: about as many rounds as the logarithm of the longest chain of pairs.
    """
    while first.size:
        first, second = roots[first], roots[second]
        apart = first != second
        first, second = first[apart], second[apart]
        np.minimum.at(roots, np.maximum(first, second), np.minimum(first, second))
        roots = _compressed(roots)
    return roots


def _compressed(roots: IntArray) -> IntArray:
    """Let every position point to its root itself."""
    while not np.array_equal(further := roots[roots], roots):
        roots = further
    return roots
