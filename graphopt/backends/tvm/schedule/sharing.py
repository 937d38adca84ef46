"""How cores share a convolution: a task makes some rows of all channels, or a tile of channels of all rows.

The time is that of multiplying, as tiles in registers and idle cores let it be, or that of what passes through the
cores' caches again and again: the weights, once a task, and the input of a task, once a tile of channels; each once a
core, where the rest leaves room for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphopt.backends.tvm.machine import busy_share, repeated_cycles, stays
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
        is_bytewise: whether bytes are multiplied.
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
    is_bytewise: bool = False
    phases: int = 1

    def rows_of_a_task(self) -> int | None:
        """Return of how many rows a task makes all channels, or None where it makes a tile of channels of all rows.

        Of equals the one in which less passes by is taken, then that of some tasks a core, then that of many rows.
        """
        extent = self.rows[-1]
        best = min(divisors(extent, extent), key=self._by_rows)
        return best if self._by_rows(best)[:2] <= self._by_tiles() else None

    def _by_rows(self, rows: int) -> tuple[float, float, bool, int]:
        tasks = self.batch * math.prod(self.rows) // rows
        tiles, data = self._tiles(rows), self.batch * self.data // tasks
        weight_passes = self.target.cores if self._stay(self.weights + data) else tasks
        data_passes = 1 if self._stay(data + self.weights // tiles) else tiles
        few = tasks < TASKS_PER_CORE * self.target.cores
        return *self._cost(rows, tasks, weight_passes, self.batch * data_passes), few, -rows

    def _by_tiles(self) -> tuple[float, float]:
        tiles = self._tiles(None)
        data_passes = self.target.cores if self._stay(self.data + self.weights // tiles) else tiles
        return self._cost(None, self.batch * tiles, 1, self.batch * data_passes)

    def _cost(self, rows: int | None, tasks: int, weight_passes: int, data_passes: int) -> tuple[float, float]:
        """Return the cycles, and those in which weights and images pass by so often."""
        passing = repeated_cycles(self.weights, weight_passes, self.target)
        passing += repeated_cycles(self.data, data_passes, self.target)
        slowness = self._tile(rows).slowness(self._columns(rows), self.target)
        return max(self.cycles * slowness / busy_share(tasks, self.target), passing), passing

    def _stay(self, size: int) -> bool:
        return stays(size, self.target)

    def _tiles(self, rows: int | None) -> int:
        """Return how many tiles of channels there are."""
        return self.blocks // self._tile(rows).blocks

    def _tile(self, rows: int | None) -> Tile:
        """Return the tile that is chosen for tasks of so many rows, or of all."""
        images = self.batch if rows is None else None
        return choose_tile(
            self.blocks, self._columns(rows), self.target, images, bytewise=self.is_bytewise, phases=self.phases
        )

    def _columns(self, rows: int | None) -> int:
        """Return how many places tiles divide."""
        if not self.is_flat:
            return self.columns
        return self.columns * (math.prod(self.rows) if rows is None else rows)
