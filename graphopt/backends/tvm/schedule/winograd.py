"""Winograd's kernels: how the transformed tiles get from one to the next without leaving the caches.

Two orders (kernels and letters as in lower/winograd.py):

- *by tiles*: a task takes a few tiles of all channels through all kernels, one block of output channels after the
  other. The transformed input stays in the core's own cache, and the weights pass by once a task. For many tiles of
  few channels.
- *by kernels*: the transformed input is finished before the products begin, and these before the transformed output,
  all cores on each. One product of all tiles stays in a core's own cache while its weights pass by, once, and the tiles
  go through the shared cache. For many channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphopt.backends.tvm.machine import (
    FLOAT_BYTES,
    LINE_BYTES,
    WAY_BYTES,
    busy_share,
    kept_cycles,
    memory_cycles,
    product_cycles,
    repeated_cycles,
)
from graphopt.backends.tvm.schedule.kernel import (
    Block,
    KernelSchedule,
    Loop,
    divisors,
    keep_in_registers,
    peel_last,
)
from graphopt.backends.tvm.schedule.prefetch import mark_turns
from graphopt.backends.tvm.schedule.summation import sum_in_registers
from graphopt.backends.tvm.tile import Tile, choose_tile, tiles
from graphopt.targets import Target

_TASKS_PER_CORE = 2
"""Tasks a core that are preferred to fewer of the same cost."""
_FEWEST_COLUMNS = 6
"""Tiles multiplied together below which loading the weights would take the time."""


@dataclass(frozen=True)
class Sizes:
    """What a convolution moves and computes.

    Attributes:
        products: multiply-adds of one tile.
        tile: bytes of the transformed input of one tile.
        transformed: the same with its products before they are transformed back.
        weights: bytes of the weights.

    """

    products: int
    tile: int
    transformed: int
    weights: int


@dataclass(frozen=True)
class _Stages:
    strips: Block
    rows: Block
    tiles: Block
    products: Block
    columns: Block
    output: Block


def schedule_winograd(kernel: KernelSchedule, products: Block) -> bool:
    """Schedule the kernels around `products`; what follows reads the result element by element."""
    stages = _stages_of(kernel, products)
    if stages is None:
        return False
    schedule = kernel.schedule
    for block in (stages.tiles, stages.products):  # the transforms walk through all products of a tile
        schedule.storage_align(block, 0, axis=0, factor=WAY_BYTES // FLOAT_BYTES, offset=LINE_BYTES // FLOAT_BYTES)
    *_, step, _, _ = kernel.shape(stages.columns)
    batch, blocks, *extents, _ = kernel.shape(stages.output)
    grid = [-(-extent // step) for extent in extents]
    task = _task(kernel, stages, grid, batch)
    shape = blocks, math.prod((batch, *grid) if task is None else task), kernel.target
    tile = kernel.choose("tile", tiles(*shape), choose_tile(*shape))
    n, o, y, x, lane = schedule.get_loops(stages.output)
    (y, i), (x, j) = schedule.split(y, [None, step]), schedule.split(x, [None, step])
    keep_in_registers(kernel, [i, j, lane])
    if task is None:
        schedule.reorder(n, o, y, x, i, j, lane)
        schedule.parallel(schedule.fuse(n, o, y))
        _transform_output(kernel, stages, x)
        _sum_products(kernel, stages, tile, None)
        _transform_input(kernel, stages, grid[1], None)
        return True
    (y, y_inner), (x, x_inner) = schedule.split(y, [None, task[0]]), schedule.split(x, [None, task[1]])
    o, o_inner = schedule.split(o, [None, tile.blocks])
    schedule.reorder(n, y, x, o, o_inner, y_inner, x_inner, i, j, lane)
    outer = schedule.fuse(n, y, x)
    schedule.parallel(outer)
    _transform_output(kernel, stages, x_inner)
    _sum_products(kernel, stages, tile, o)
    mark_turns(kernel, o)
    _transform_input(kernel, stages, task[1], outer)
    return True


def tiles_of_a_task(grid: Sequence[int], batch: int, sizes: Sizes, target: Target) -> tuple[int, int] | None:
    """Return the rows and columns of tiles that a task takes through all kernels, or None to go by kernels.

    By tiles, the weights come anew for each task, while it computes, unless a core keeps them. By kernels, the
    transformed tiles go to the shared cache and come back, and nothing is computed meanwhile.
    """
    count = batch * math.prod(grid)
    products = product_cycles(count * sizes.products, target)

    def cycles(task: tuple[int, int]) -> float:
        tasks = count // math.prod(task)
        tiles = math.prod(task) * sizes.tile
        passing = kept_cycles(sizes.weights, tasks, target, beside=tiles, keepers=target.cores)
        return max(products / busy_share(tasks, target), passing)

    def is_one_of_few(task: tuple[int, int]) -> bool:
        return count < math.prod(task) * _TASKS_PER_CORE * target.cores

    most = min(target.l2_bytes // 2 // sizes.tile, count // target.cores)
    candidates = [task for task in _tasks(grid, most) if math.prod(task) >= _FEWEST_COLUMNS]
    best = min(candidates, key=lambda task: (cycles(task), is_one_of_few(task), -math.prod(task)), default=None)
    by_kernels = max(products, memory_cycles(sizes.weights)) + repeated_cycles(count * sizes.transformed, 2, target)
    return best if best is not None and cycles(best) <= by_kernels else None


def _task(kernel: KernelSchedule, stages: _Stages, grid: Sequence[int], batch: int) -> tuple[int, int] | None:
    sizes = _sizes(kernel, stages)
    default = tiles_of_a_task(grid, batch, sizes, kernel.target)
    return kernel.choose("task", [None, *_tasks(grid, kernel.target.l2_bytes // sizes.tile)], default)


def _tasks(grid: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Yield the tasks of up to `most` tiles: parts of a row, or whole rows."""
    height, width = grid
    for columns in divisors(width, max(1, most)):
        for rows in divisors(height, most // columns) if columns == width else (1,):
            yield rows, columns


def _stages_of(kernel: KernelSchedule, products: Block) -> _Stages | None:
    """Find the kernels before and after the products, None where fusion has given them more readers."""
    schedule = kernel.schedule
    before, after = [products], [products]
    for _ in range(3):
        before += schedule.get_producers(before[-1])
    for _ in range(2):
        after += schedule.get_consumers(after[-1])
    if len(before) != 4 or len(after) != 3 or schedule.get_consumers(after[-1]) or not kernel.is_regular(after[-1]):
        return None
    return _Stages(before[3], before[2], before[1], products, after[1], after[2])


def _sizes(kernel: KernelSchedule, stages: _Stages) -> Sizes:
    size, blocks, _, lanes = kernel.shape(stages.tiles)
    _, outputs, *_ = kernel.shape(stages.products)
    pairs = size * blocks * lanes * outputs * lanes
    tile = size * blocks * lanes * FLOAT_BYTES
    return Sizes(pairs, tile, tile + size * outputs * lanes * FLOAT_BYTES, pairs * FLOAT_BYTES)


def _transform_output(kernel: KernelSchedule, stages: _Stages, at: Loop) -> None:
    schedule = kernel.schedule
    schedule.compute_at(stages.columns, at, preserve_unit_loops=True)
    keep_in_registers(kernel, schedule.get_loops(stages.columns)[-3:])


def _sum_products(kernel: KernelSchedule, stages: _Stages, tile: Tile, at: Loop | None) -> None:
    """Keep the sums of a few tiles in registers; all channels of their inputs lie side by side."""
    schedule, block = kernel.schedule, stages.products
    stored = schedule.cache_write(block, 0, "global")
    if at is not None:
        schedule.compute_at(stored, at, preserve_unit_loops=True)
    *outer, product, o, column, lane = schedule.get_loops(stored)
    o, o_inner = schedule.split(o, [None, tile.blocks])
    column, column_inner = schedule.split(column, [None, tile.columns])
    schedule.reorder(product, o, column, o_inner, column_inner, lane)
    keep_in_registers(kernel, [o_inner, column_inner, lane])
    if at is None:
        tasks = schedule.fuse(product, o)
        schedule.parallel(tasks)
        mark_turns(kernel, tasks)
    peel_last(kernel, column)
    schedule.compute_at(block, column, preserve_unit_loops=True)
    sum_in_registers(kernel, block, None, depth=2 if at is None else len(outer) + 3)


def _transform_input(kernel: KernelSchedule, stages: _Stages, width: int, at: Loop | None) -> None:
    """Transform one tile of one block of channels after the other, from a strip a row of tiles."""
    schedule = kernel.schedule
    if at is not None:
        schedule.compute_at(stages.tiles, at, preserve_unit_loops=True)
    product, c, place, lane = schedule.get_loops(stages.tiles)[-4:]
    row, x = schedule.split(place, [None, width])
    schedule.reorder(c, row, x, product, lane)
    keep_in_registers(kernel, [product, lane])
    if at is None:
        row = schedule.fuse(c, row)
        schedule.parallel(row)
    schedule.compute_at(stages.rows, x, preserve_unit_loops=True)
    keep_in_registers(kernel, schedule.get_loops(stages.rows)[-3:])
    schedule.compute_at(stages.strips, row, preserve_unit_loops=True)
    schedule.vectorize(schedule.get_loops(stages.strips)[-1])
