"""How large a tile of outputs one core keeps in registers: a small model of the load and multiply ports."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from graphopt.targets import Target

_LATENCY = 4
"""Cycles until a sum can be added to again."""
_PORTS = 2
"""Multiply-adds, and loads, that a core starts in one cycle."""


@dataclass(frozen=True)
class Tile:
    """Rows × columns of one block of output channels, each of them one vector register.

    A tile never spans two blocks of channels: LLVM would then load each input into a register of its own
    instead of broadcasting it inside the multiply-add, and spill the sums.
    """

    rows: int
    columns: int

    @property
    def registers(self) -> int:
        """How many sums are kept."""
        return self.rows * self.columns

    def efficiency(self) -> float:
        """Return the share of peak that the ports allow: a step loads one vector of weights and each input."""
        cycles = max((self.registers + 1) / _PORTS, _LATENCY)
        return self.registers / (_PORTS * cycles)


def choose_tile(rows: int, columns: int, tasks: int, target: Target) -> Tile:
    """Choose the tile for `tasks` planes of rows × columns vectors.

    Weighs what the ports allow against how evenly the tiles fall on the cores; a wider tile breaks a tie.
    Half of the registers hold the tile; the others take the weights and the total of the parts that are summed
    (see `summation`), which would otherwise be spilled.
    """

    def worth(tile: Tile) -> tuple[float, int, int]:
        count = tasks * (rows // tile.rows)
        rounds = math.ceil(count / target.cores) * target.cores
        return round(tile.efficiency() * count / rounds, 2), tile.columns, tile.registers

    return max(_candidates(rows, columns, target.vector_registers // 2), key=worth)


def _candidates(rows: int, columns: int, registers: int) -> Iterator[Tile]:
    for width in _divisors(columns, registers):
        for height in _divisors(rows, registers // width):
            yield Tile(height, width)


def _divisors(extent: int, most: int) -> Iterator[int]:
    return (size for size in range(1, min(extent, most) + 1) if extent % size == 0)
