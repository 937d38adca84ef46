"""How cores share a convolution: a task makes some rows of all channels, or a tile of channels of all rows.

The time is that of multiplying, as tiles in registers and idle cores let it be, or that of what passes through the
cores' caches again and again: the weights, once a task; or the input of an image, once a tile of channels; and once a
core, where the rest leaves room for them.
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
        return best if self._by_rows(best)[:2] < self._by_tiles() else None

    def _by_rows(self, rows: int) -> tuple[float, float, bool, int]:
        images = self.batch * math.prod(self.rows[:-1])
        tasks = images * self.rows[-1] // rows
        stay = stays(self.weights + self.data * self.batch // tasks, self.target)
        passing = self._passing(self.weights, self.target.cores if stay else tasks, self.batch * self.data)
        few = tasks < TASKS_PER_CORE * self.target.cores
        return *self._cost(self._slowness(rows), tasks, passing), few, -rows

    def _by_tiles(self) -> tuple[float, float]:
        tiles = self.blocks // self._tile(None).blocks
        stay = stays(self.data + self.weights // tiles, self.target)
        passing = self._passing(self.data, self.batch * (self.target.cores if stay else tiles), self.weights)
        return self._cost(self._slowness(None), self.batch * tiles, passing)

    def _passing(self, again: int, times: int, once: int) -> float:
        return repeated_cycles(again, times, self.target) + repeated_cycles(once, 1, self.target)

    def _cost(self, slowness: float, tasks: int, passing: float) -> tuple[float, float]:
        return max(self.cycles * slowness / busy_share(tasks, self.target), passing), passing

    def _slowness(self, rows: int | None) -> float:
        return self._tile(rows).slowness(self._columns(rows), self.target)

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
