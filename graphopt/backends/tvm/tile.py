"""How large a tile of outputs one core keeps in registers: a small model of the load and multiply ports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from graphopt.backends.tvm.machine import busy_share
from graphopt.targets import Target

FEWEST_COLUMNS = 6
"""Outputs multiplied together below which loading the weights would take the time."""
_LATENCY = 5
"""Cycles until a sum can be added to again, and one for what does not fall into place."""
_PAIRS, _ODD = (1, 2), (1, 3, 5)
"""Blocks of channels: two where that divides them, since weights come from as many places that share a set of the
cache; one block alone would load an input for every product."""
_BLOCKS_TO_TRY = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Tile:
    """Columns × blocks of output channels, each pair of them one vector register."""

    columns: int
    blocks: int

    def __str__(self) -> str:
        return f"{self.columns}x{self.blocks}"

    @property
    def registers(self) -> int:
        """How many sums are kept."""
        return self.columns * self.blocks

    def cycles(self, columns: int, target: Target) -> float:
        """Return the cycles of `columns` outputs of every block: each step loads the weights and each input."""
        whole, rest = divmod(columns, self.columns)
        return whole * self._step(self.columns, target) + (self._step(rest, target) if rest else 0.0)

    def loads(self, columns: int) -> int:
        """Return how many vectors of weights and single inputs a product of `columns` outputs of every block loads."""
        return ceil(columns / self.columns) * self.blocks + columns

    def slowness(self, columns: int, target: Target) -> float:
        """Return how many times longer than the multiply-adds alone `columns` outputs of its blocks take."""
        return self.cycles(columns, target) * target.vectors_per_cycle / (columns * self.blocks)

    def _step(self, columns: int, target: Target) -> float:
        vectors = max(columns * self.blocks, columns + self.blocks)
        return max(vectors / target.vectors_per_cycle, _LATENCY)


def choose_tile(
    blocks: int,
    columns: int,
    target: Target,
    images: int | None = None,
    *,
    crowded: bool = False,
    phases: int = 1,
) -> Tile:
    """Choose the tile for rows of `columns` outputs of `blocks` blocks: fewest cycles, loads, then narrow tiles.

    Five registers of eight hold the sums; LLVM spills some where more are asked for, since it loads several inputs
    ahead. Where these are `crowded` by the weights of several steps, 7 of 16 are left. With `images`, tasks are tiles
    of channels of so many images, and cores that have none count. Columns in turns of `phases` come in
    whole turns, where registers allow it.
    """

    def cost(tile: Tile) -> tuple[float, float, int]:
        busy = 1.0 if images is None else busy_share(images * blocks // tile.blocks, target)
        cycles = round(tile.cycles(columns, target) / tile.blocks / busy, 1)
        return cycles, tile.loads(columns) / tile.blocks, columns % tile.columns

    counts = _ODD if blocks % 2 else _PAIRS
    registers = target.vector_registers * 7 // 16 if crowded else target.vector_registers * 5 // 8
    return min(_candidates(blocks, columns, registers, counts, phases), key=cost)


def tiles(blocks: int, columns: int, target: Target, phases: int = 1) -> Iterator[Tile]:
    """Yield what a measurement may prefer to `choose_tile`: tiles that use the registers, even if some are spilled."""
    for tile in _candidates(blocks, columns, target.vector_registers - 2, _BLOCKS_TO_TRY, phases):
        if tile.columns == columns or tile.registers >= target.vector_registers // 4:
            yield tile


def _candidates(blocks: int, columns: int, registers: int, counts: Sequence[int], phases: int) -> Iterator[Tile]:
    for count in (count for count in counts if blocks % count == 0):
        most = min(columns, registers // count)
        step = phases if phases <= most else 1
        for width in range(step, most + 1, step):
            yield Tile(width, count)
