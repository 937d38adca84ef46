"""Winograd's kernels: how the transformed tiles get from one to the next without leaving the caches.

Three orders (kernels and letters as in lower/winograd.py):

- *by tiles*: a task takes a few tiles of all channels through all kernels, one block of output channels after the
  other. The transformed input stays in the core's own cache, and the weights pass by once a task. For many tiles of
  few channels.
- *by kernels*: the transformed input is finished before the products begin, and these before the transformed output,
  all cores on each. One product of all tiles stays in a core's own cache while its weights pass by, once, and the tiles
  go through the shared cache. For many channels.
- *by channels*: a core transforms all of the input for itself, and makes some blocks of output channels from it, one
  after the other. It sums a few input channels at a time, whose weights it transforms before. For weights so many that
  reading them transformed would take as long as multiplying.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tvm import ir

from graphopt.backends.tvm.machine import (
    FLOAT_BYTES,
    LINE_BYTES,
    WAY_BYTES,
    busy_share,
    even_parts,
    kept_cycles,
    memory_cycles,
    product_cycles,
    repeated_cycles,
)
from graphopt.backends.tvm.schedule.kernel import (
    Block,
    KernelSchedule,
    Loop,
    divisor_up_to,
    divisors,
    keep_in_registers,
    peel_last,
)
from graphopt.backends.tvm.schedule.prefetch import mark_turns
from graphopt.backends.tvm.schedule.summation import sum_in_registers
from graphopt.backends.tvm.tile import FEWEST_COLUMNS, Tile, choose_tile, tiles
from graphopt.targets import Target

_TASKS_PER_CORE = 2
"""Tasks a core that are preferred to fewer of the same cost."""
_PARTS_OF_CACHE = 6
"""Of a core's own, one is for weights that it transforms."""


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
    weights: tuple[Block, ...]
    """Their transforms, the second first; none where they are stored transformed."""


def schedule_winograd(kernel: KernelSchedule, products: Block) -> bool:
    """Schedule the kernels around `products`; what follows reads the result element by element."""
    stages = _stages_of(kernel, products)
    if stages is None:
        return False
    for block in (stages.tiles, stages.products):  # the transforms walk through all products of a tile
        _align(kernel, block, axis=0, factor=WAY_BYTES)
    if stages.weights:
        _go_by_channels(kernel, stages)
    elif (task := _task(kernel, stages)) is None:
        _go_by_kernels(kernel, stages)
    else:
        _go_by_tiles(kernel, stages, task)
    return True


def _go_by_tiles(kernel: KernelSchedule, stages: _Stages, task: tuple[int, int]) -> None:
    schedule, tile = kernel.schedule, _tile(kernel, stages, math.prod(task))
    n, o, y, x, *registers = _output_loops(kernel, stages)
    (y, y_inner), (x, x_inner) = schedule.split(y, [None, task[0]]), schedule.split(x, [None, task[1]])
    o, o_inner = schedule.split(o, [None, tile.blocks])
    schedule.reorder(n, y, x, o, o_inner, y_inner, x_inner, *registers)
    outer = schedule.fuse(n, y, x)
    schedule.parallel(outer)
    mark_turns(kernel, o)
    _transform_output(kernel, stages, x_inner)
    _sum_products(kernel, stages, tile, o)
    _transform_input(kernel, stages, task[1], outer)


def _go_by_kernels(kernel: KernelSchedule, stages: _Stages) -> None:
    schedule, grid = kernel.schedule, _grid(kernel, stages)
    n, o, y, x, *registers = _output_loops(kernel, stages)
    schedule.reorder(n, o, y, x, *registers)
    schedule.parallel(schedule.fuse(n, o, y))
    _transform_output(kernel, stages, x)
    _sum_products(kernel, stages, _tile(kernel, stages, math.prod(grid)), None)
    _transform_input(kernel, stages, grid[-1], None)


def _go_by_channels(kernel: KernelSchedule, stages: _Stages) -> None:
    schedule, grid = kernel.schedule, _grid(kernel, stages)
    tile = _tile(kernel, stages, math.prod(grid))
    n, o, y, x, *registers = _output_loops(kernel, stages)
    parts = even_parts(kernel.extent(o) // tile.blocks, kernel.target)
    task, o, o_inner = schedule.split(o, [parts, None, tile.blocks])
    schedule.reorder(task, o, n, o_inner, y, x, *registers)
    schedule.parallel(task)
    _transform_output(kernel, stages, x)
    _add_products(kernel, stages, tile, o)
    _transform_input(kernel, stages, grid[-1], task)


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
    candidates = [task for task in _tasks(grid, most) if math.prod(task) >= FEWEST_COLUMNS]
    best = min(candidates, key=lambda task: (cycles(task), is_one_of_few(task), -math.prod(task)), default=None)
    by_kernels = max(products, memory_cycles(sizes.weights)) + repeated_cycles(count * sizes.transformed, 2, target)
    return best if best is not None and cycles(best) <= by_kernels else None


def _task(kernel: KernelSchedule, stages: _Stages) -> tuple[int, int] | None:
    sizes, (batch, *grid) = _sizes(kernel, stages), _grid(kernel, stages)
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
    after = [products]
    for _ in range(2):
        after += schedule.get_consumers(after[-1])
    tiles, weights = (_writers(kernel, products, operand) for operand in schedule.get(products).reads)
    if len(tiles) < 3 or len(after) != 3 or schedule.get_consumers(after[-1]) or not kernel.is_regular(after[-1]):
        return None
    return _Stages(tiles[2], tiles[1], tiles[0], products, after[1], after[2], tuple(weights))


def _writers(kernel: KernelSchedule, block: Block, operand: ir.TensorRegion) -> list[Block]:
    """Return the block that writes what another one reads, that which writes what that one reads, and so on."""
    schedule = kernel.schedule
    producers = schedule.get_producers(block)
    found = [each for each in producers if schedule.get(each).writes[0].source.same_as(operand.source)]
    return [*found, *(writer for each in found for writer in _writers(kernel, each, schedule.get(each).reads[0]))]


def _grid(kernel: KernelSchedule, stages: _Stages) -> tuple[int, int, int]:
    """Return how many images there are, and rows and columns of tiles in each."""
    *_, step, _, _ = kernel.shape(stages.columns)
    batch, _, height, width, _ = kernel.shape(stages.output)
    return batch, -(-height // step), -(-width // step)


def _tile(kernel: KernelSchedule, stages: _Stages, count: int) -> Tile:
    """Return how much of so many tiles, and of all channels, is in registers."""
    shape = kernel.shape(stages.output)[1], count, kernel.target
    return kernel.choose("tile", tiles(*shape), choose_tile(*shape))


def _align(kernel: KernelSchedule, block: Block, *, axis: int, factor: int) -> None:
    """Let what a block writes begin anew along an axis a line beyond a multiple of some bytes."""
    elements, line = factor // FLOAT_BYTES, LINE_BYTES // FLOAT_BYTES
    kernel.schedule.storage_align(block, 0, axis=axis, factor=elements, offset=line)


def _sizes(kernel: KernelSchedule, stages: _Stages) -> Sizes:
    size, blocks, _, lanes = kernel.shape(stages.tiles)
    _, outputs, *_ = kernel.shape(stages.products)
    pairs = size * blocks * lanes * outputs * lanes
    tile = size * blocks * lanes * FLOAT_BYTES
    return Sizes(pairs, tile, tile + size * outputs * lanes * FLOAT_BYTES, pairs * FLOAT_BYTES)


def _output_loops(kernel: KernelSchedule, stages: _Stages) -> list[Loop]:
    """Return the loops over the result: images, channels, rows and columns of tiles, and what is in registers."""
    schedule = kernel.schedule
    *_, step, _, _ = kernel.shape(stages.columns)
    n, o, y, x, lane = schedule.get_loops(stages.output)
    (y, i), (x, j) = schedule.split(y, [None, step]), schedule.split(x, [None, step])
    keep_in_registers(kernel, [i, j, lane])
    return [n, o, y, x, i, j, lane]


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
    o, column = _split(kernel, tile, [product], [o, column, lane])
    if at is None:
        tasks = schedule.fuse(product, o)
        schedule.parallel(tasks)
        mark_turns(kernel, tasks)
    schedule.compute_at(block, column, preserve_unit_loops=True)
    sum_in_registers(kernel, block, None, depth=2 if at is None else len(outer) + 3)


def _add_products(kernel: KernelSchedule, stages: _Stages, tile: Tile, at: Loop) -> None:
    """Sum up a few channels after the other, whose weights are transformed into the core's own cache."""
    schedule, block = kernel.schedule, stages.products
    _, (channels, _) = kernel.reduction_axes(block)
    size, blocks, _, lanes = kernel.shape(stages.tiles)
    most = kernel.target.l2_bytes // _PARTS_OF_CACHE // (size * tile.blocks * lanes * lanes * FLOAT_BYTES)
    together = kernel.choose("channels", divisors(blocks, blocks), divisor_up_to(blocks, max(1, most)))
    part, _ = schedule.split(channels, [None, together])
    partial = schedule.rfactor(part, factor_axis=0)
    schedule.compute_at(block, at, preserve_unit_loops=True)
    (product, *rest), (part,) = kernel.reduction_axes(block, below=2)
    _, column = _split(kernel, tile, [part, product], rest)
    schedule.compute_at(partial, column, preserve_unit_loops=True)
    sum_in_registers(kernel, partial, None, depth=6)
    mark_turns(kernel, part, rounds=at)
    start = schedule.decompose_reduction(block, part)
    schedule.vectorize(schedule.get_loops(start)[-1])
    _transform_weights(kernel, stages, part)


def _split(kernel: KernelSchedule, tile: Tile, outer: Sequence[Loop], inner: Sequence[Loop]) -> tuple[Loop, Loop]:
    """Split loops over channels and places, and lanes, into tiles below other loops; return those over tiles."""
    schedule, (o, column, lane) = kernel.schedule, inner
    o, o_inner = schedule.split(o, [None, tile.blocks])
    column, column_inner = schedule.split(column, [None, tile.columns])
    registers = [o_inner, column_inner, lane]
    schedule.reorder(*outer, o, column, *registers)
    keep_in_registers(kernel, registers)
    peel_last(kernel, column)
    return o, column


def _transform_weights(kernel: KernelSchedule, stages: _Stages, at: Loop) -> None:
    """Transform the weights of one channel after the other."""
    schedule, (weights, taps) = kernel.schedule, stages.weights
    _align(kernel, weights, axis=1, factor=2 * LINE_BYTES)  # so that all products of a channel find a place
    schedule.compute_at(weights, at, preserve_unit_loops=True)
    o, product, channel, lane = schedule.get_loops(weights)[-4:]
    schedule.reorder(o, channel, product, lane)
    keep_in_registers(kernel, [product, lane])
    schedule.compute_at(taps, channel, preserve_unit_loops=True)
    keep_in_registers(kernel, schedule.get_loops(taps)[-3:])


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
