"""Which variants of a program serve a run: by the shapes of its inputs, whole or cut along the batch."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphopt.tensors import Array

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One run of a variant.

    Attributes:
        variant: its number in the table.
        samples: those of the batch that it is given; None gives it the arrays as they are.

    """

    variant: int
    samples: slice | None = None


class DispatchTable:
    """The variants of a program by the shapes of their inputs."""

    def __init__(self, shapes: Sequence[Mapping[str, Shape]], batched: Sequence[str]) -> None:
        """Take the shapes of each variant's inputs, and the inputs that carry the batch on their leading axis."""
        self._variants = {tuple(row.values()): index for index, row in enumerate(shapes)}
        self._names = tuple(shapes[0]) if shapes else ()
        self._batched = frozenset(batched)
        self._sizes: dict[tuple[Shape, ...], dict[int, int]] = {}
        for index, row in enumerate(shapes if batched else ()):
            self._sizes.setdefault(self._samples(row), {})[row[batched[0]][0]] = index

    def steps(self, values: Mapping[str, Array]) -> tuple[Step, ...]:
        """Return the runs that make up a run on some arrays, in the order of their samples; none if none do."""
        shapes = {name: values[name].shape for name in self._names}
        variant = self._variants.get(tuple(shapes.values()))
        if variant is not None:
            return (Step(variant),)
        if not self._batched:
            return ()
        batches = {shapes[name][0] for name in self._batched}
        numbers = self._sizes.get(self._samples(shapes), {})
        sizes = tuple(sorted(numbers, reverse=True))
        counts = cut(batches.pop(), sizes) if len(batches) == 1 else None
        cuts = [size for size, count in zip(sizes, counts or (), strict=False) for _ in range(count)]
        stops = itertools.accumulate(cuts)
        return tuple(Step(numbers[size], slice(stop - size, stop)) for size, stop in zip(cuts, stops, strict=True))

    def _samples(self, shapes: Mapping[str, Shape]) -> tuple[Shape, ...]:
        """Return the shapes without the batch."""
        return tuple(shape[1:] if name in self._batched else shape for name, shape in shapes.items())


@functools.lru_cache(maxsize=1024)
def cut(batch: int, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return how often to take each size for their sum to be a batch; None where no sum is.

    `sizes` fall, and as many of the larger ones are taken as can be. Greedy, but it turns back: 10 is 5 + 5 where
    there are 8 and 5.
    """
    if not sizes or batch % math.gcd(*sizes):
        return None
    largest, *smaller = sizes
    if not smaller:
        return (batch // largest,)
    for count in range(batch // largest, -1, -1):
        rest = cut(batch - count * largest, tuple(smaller))
        if rest is not None:
            return (count, *rest)
    return None
