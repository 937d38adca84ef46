"""How large a tile of outputs one core keeps in registers: a small model of the load and multiply ports."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from graphopt.targets import Target

_SPARE_REGISTERS = 4
"""Vector registers left for weights and inputs."""
_LATENCY = 4
"""Cycles until a sum can be added to again."""
_PORTS = 2
"""Multiply-adds, and loads, that a core starts in one cycle."""


@dataclass(frozen=True)
class Tile:
    """Blocks of output channels × rows × columns, each of them one vector register."""

    blocks: int
    rows: int
    columns: int

    @property
    def registers(self) -> int:
        """How many sums are kept."""
        return self.blocks * self.rows * self.columns

    def efficiency(self) -> float:
        """Return the share of peak that the ports allow: each step loads the weights and broadcasts the inputs."""
        loads = self.blocks + self.rows * self.columns
        cycles = max(self.registers / _PORTS, loads / _PORTS, _LATENCY)
        return self.registers / (_PORTS * cycles)


def choose_tile(extents: tuple[int, ...], tasks: int, target: Target) -> Tile:
    """Choose the tile of an output of blocks × rows × columns vectors, of which there are `tasks`.

    Weighs what the ports allow against how evenly the tiles fall on the cores; a wider tile breaks a tie.
    """
    blocks, rows, columns = extents

    def worth(tile: Tile) -> tuple[float, int, int]:
        count = tasks * (blocks // tile.blocks) * (rows // tile.rows)
        rounds = math.ceil(count / target.cores) * target.cores
        return round(tile.efficiency() * count / rounds, 2), tile.columns, tile.registers

    return max(_candidates(blocks, rows, columns, target.vector_registers - _SPARE_REGISTERS), key=worth)


def _candidates(blocks: int, rows: int, columns: int, registers: int) -> Iterator[Tile]:
    for width in _divisors(columns, registers):
        for height in _divisors(rows, registers // width):
            for depth in _divisors(blocks, min(4, registers // (width * height))):
                yield Tile(depth, height, width)


def _divisors(extent: int, most: int) -> Iterator[int]:
    return (size for size in range(1, min(extent, most) + 1) if extent % size == 0)
