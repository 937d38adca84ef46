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
        best = min(divisors(extent, extent), key=self._by_rows)
        return best if self._by_rows(best)[:2] <= self._by_tiles() else None

    def _by_rows(self, rows: int) -> tuple[float, float, bool, int]:
        tasks, tiles = self.batch * math.prod(self.rows) // rows, self._tiles(rows)
        data = self.batch * self.data / tasks
        weight_cycles = self._passing(self.weights, tasks, beside=data, keepers=self.target.cores)
        data_cycles = tasks * self._passing(data, tiles, beside=self.weights / tiles, keepers=1)
        few = tasks < TASKS_PER_CORE * self.target.cores
        return *self._cost(rows, tasks, weight_cycles + data_cycles), few, -rows

    def _by_tiles(self) -> tuple[float, float]:
        tiles = self._tiles(None)
        weight_cycles = repeated_cycles(self.weights, 1, self.target)
        data_cycles = self._passing(self.data, tiles, beside=self.weights / tiles, keepers=self.target.cores)
        return self._cost(None, self.batch * tiles, weight_cycles + self.batch * data_cycles)

    def _passing(self, size: float, times: int, *, beside: float, keepers: int) -> float:
        """Return the cycles in which so many bytes pass by, which stay where these and others have room."""
        return repeated_cycles(size, times, self.target, keepers=keepers if stays(size + beside, self.target) else 0)

    def _cost(self, rows: int | None, tasks: int, passing: float) -> tuple[float, float]:
        slowness = self._tile(rows).slowness(self._columns(rows), self.target)
        return max(self.cycles * slowness / busy_share(tasks, self.target), passing), passing

    def _tiles(self, rows: int | None) -> int:
        """Return how many tiles of channels there are."""
        return self.blocks // self._tile(rows).blocks

    def _tile(self, rows: int | None) -> Tile:
        """Return the tile that is chosen for tasks of so many rows, or of all."""
        images = self.batch if rows is None else None
        return choose_tile(
            self.blocks, self._columns(rows), self.target, images, crowded=self.is_crowded, phases=self.phases
        )

    def _columns(self, rows: int | None) -> int:
        """Return how many places tiles divide."""
        if not self.is_flat:
            return self.columns
        return self.columns * (math.prod(self.rows) if rows is None else rows)
