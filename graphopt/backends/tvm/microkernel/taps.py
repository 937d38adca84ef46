"""Which inputs of a depthwise convolution of bytes are laid side by side, to be summed four at a time.

An instruction sums four neighbouring products, and the inputs of one window are no neighbours: those of a channel lie
a column or a row apart. Up to four vectors of inputs, a group, are interleaved, and then hold for each channel the
four inputs of a sum. A group that several rows of outputs read is interleaved once: where a window moves by one row,
two rows of outputs have most rows of inputs in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from graphopt.tensors import Array

TOGETHER = 4
"""Products that are summed into a lane."""
_UNPACKS = {1: 6, 2: 6, 3: 8, 4: 8}
"""Instructions that interleave so many vectors; what is interleaved with nothing needs one less for two of them."""

Place = tuple[int, int]
"""A row and a column of the input, seen from the first output's window."""


@dataclass(frozen=True)
class Taps:
    """What one step of the kernel reads and sums.

    Attributes:
        rows: of outputs that it makes.
        groups: the places that are interleaved together, up to four each.
        uses: by row, the groups that its windows read, and the tap of each place there; None where it is outside.

    """

    rows: int
    groups: tuple[tuple[Place, ...], ...]
    uses: tuple[tuple[tuple[int, tuple[Place | None, ...]], ...], ...]

    @property
    def instructions(self) -> float:
        """Return how many a row of outputs takes, for four columns of 16 channels."""
        sums = TOGETHER * sum(map(len, self.uses))
        return (sum(_UNPACKS[len(group)] for group in self.groups) + sums) / self.rows

    def pack(self, weights: Array) -> Array:
        """Bring weights [blocks, kh, kw, lanes] into [blocks, uses, lanes, 4], in the order of rows and groups."""
        blocks, _, _, lanes = weights.shape
        flat = [places for row in self.uses for _, places in row]
        packed = np.zeros((blocks, len(flat), lanes, TOGETHER), weights.dtype)
        for use, places in enumerate(flat):
            for index, tap in enumerate(places):
                if tap is not None:
                    packed[:, use, :, index] = weights[:, *tap]
        return packed


def choose_taps(kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], most_rows: int) -> Taps:
    """Return the cheapest way for a window: one row at a time, or two whose inputs are interleaved by column."""
    ways = [_taps(1, kernel, strides, dilations, by_column=False)]
    if most_rows > 1:
        ways.append(_taps(2, kernel, strides, dilations, by_column=True))
    return min(ways, key=lambda way: way.instructions)


def _taps(
    rows: int, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], *, by_column: bool
) -> Taps:
    windows = [
        {
            (row * strides[0] + y * dilations[0], x * dilations[1]): (y, x)
            for y in range(kernel[0])
            for x in range(kernel[1])
        }
        for row in range(rows)
    ]
    places = sorted({place for window in windows for place in window})
    columns = [[place for place in places if place[1] == x * dilations[1]] for x in range(kernel[1])]
    groups = tuple(group for line in (columns if by_column else [places]) for group in _chunks(line))
    uses = tuple(
        tuple(
            (index, tuple(window.get(place) for place in group))
            for index, group in enumerate(groups)
            if any(place in window for place in group)
        )
        for window in windows
    )
    return Taps(rows, groups, uses)


def _chunks(places: Sequence[Place]) -> Iterator[tuple[Place, ...]]:
    for start in range(0, len(places), TOGETHER):
        yield tuple(places[start : start + TOGETHER])
