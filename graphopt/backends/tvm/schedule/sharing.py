"""How cores share a convolution: a task makes some rows of all channels, or a tile of channels of all rows.

The time is that of multiplying, as tiles in registers and idle cores let it be, or that of what passes through the
cores' caches again and again: the weights, once a task, and the input of a task, once a tile of channels; each once a
core, where the rest leaves room for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphopt.backends.tvm.machine import busy_share, kept_cycles, repeated_cycles
from graphopt.backends.tvm.schedule.kernel import divisors
from graphopt.backends.tvm.schedule.window import TASKS_PER_CORE
from graphopt.backends.tvm.tile import Tile, choose_tile
from graphopt.targets import Target


@dataclass(frozen=True)
class Convolution:
    """What cores share.

    Attributes:
        batch, blocks: images, and blocks of output channels.
        rows: extents of the spatial axes of the output but the last.
        columns: that of the last.
        cycles: to multiply, on all cores.
        data: bytes of the input of one image that are read: strides may pass over most of it.
        weights: bytes.
        target: whose cores they are.
        is_flat: whether a tile goes on from row to row.
        is_crowded: whether registers hold the weights of several steps.
        phases: how many columns in a row have weights of their own.

    """

    batch: int
    blocks: int
    rows: Sequence[int]
    columns: int
    cycles: float
    data: int
    weights: int
    target: Target
    is_flat: bool = False
    is_crowded: bool = False
    phases: int = 1

    def rows_of_a_task(self) -> int | None:
        """Return of how many rows a task makes all channels, or None where it makes a tile of channels of all rows.

        Of equals the one in which less passes by is taken, then that of some tasks a core, then that of many rows.
        """
        extent = self.rows[-1]
        cycles, passing, _, fewer = min(map(self._by_rows, divisors(extent, extent)))
        return -fewer if (cycles, passing) <= self._by_tiles() else None

    def tile(self, rows: int | None) -> Tile:
        """Return the tile that is chosen for tasks of so many rows, or of all."""
        images = self.batch if rows is None else None
        return choose_tile(
            self.blocks, self._columns(rows), self.target, images, crowded=self.is_crowded, phases=self.phases
        )

    def _by_rows(self, rows: int) -> tuple[float, float, bool, int]:
        tile, tasks = self.tile(rows), self.batch * math.prod(self.rows) // rows
        tiles, data = self.blocks // tile.blocks, self.batch * self.data / tasks
        weight_cycles = kept_cycles(self.weights, tasks, self.target, beside=data, keepers=self.target.cores)
        data_cycles = tasks * kept_cycles(data, tiles, self.target, beside=self.weights / tiles, keepers=1)
        few = tasks < TASKS_PER_CORE * self.target.cores
        return *self._cost(tile, self._columns(rows), tasks, weight_cycles + data_cycles), few, -rows

    def _by_tiles(self) -> tuple[float, float]:
        tile = self.tile(None)
        tiles = self.blocks // tile.blocks
        weight_cycles = repeated_cycles(self.weights, 1, self.target)
        data_cycles = kept_cycles(self.data, tiles, self.target, beside=self.weights / tiles, keepers=self.target.cores)
        return self._cost(tile, self._columns(None), self.batch * tiles, weight_cycles + self.batch * data_cycles)

    def _cost(self, tile: Tile, columns: int, tasks: int, passing: float) -> tuple[float, float]:
        slowness = tile.slowness(columns, self.target)
        return max(self.cycles * slowness / busy_share(tasks, self.target), passing), passing

    def _columns(self, rows: int | None) -> int:
        """Return how many places tiles divide."""
        if not self.is_flat:
            return self.columns
        return self.columns * (math.prod(self.rows) if rows is None else rows)
