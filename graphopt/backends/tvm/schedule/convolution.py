"""Windows over blocked channels: a tile of outputs stays in registers while all taps are summed into it.

Serves direct convolution, depthwise convolution and pooling, on any number of spatial axes: all write
[n, o, *s, l] and reduce over taps.
"""

from __future__ import annotations

import math

from graphopt.backends.tvm.schedule.generic import schedule_block, schedule_generic
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule, Loop, divisor_up_to, keep_in_registers
from graphopt.backends.tvm.schedule.summation import partial_sums, sum_in_registers
from graphopt.backends.tvm.schedule.tile import choose_tile

_TASKS_PER_CORE = 4
"""Parallel tasks a core, so that an uneven last round costs little."""


def schedule_conv(kernel: KernelSchedule, block: Block) -> None:
    """Schedule a dense convolution: a task is a few rows of one block of channels; the padded input is shared."""
    output = _output_of(kernel, block)
    if output is None:
        schedule_generic(kernel)
        return
    schedule = kernel.schedule
    producers = schedule.get_producers(block)
    partial = partial_sums(kernel, block)
    *outer, column, lane = schedule.get_loops(output)
    row = outer.pop() if len(outer) > 2 else schedule.add_unit_loop(column)
    planes = math.prod(map(kernel.extent, outer))
    tile = choose_tile(kernel.extent(row), kernel.extent(column), planes, kernel.target)
    row_outer, row_inner = schedule.split(row, [None, tile.rows])
    tiles, column_inner = schedule.split(column, [None, tile.columns])
    outer.append(row_outer)
    schedule.reorder(*outer, tiles, row_inner, column_inner, lane)
    keep_in_registers(kernel, [row_inner, column_inner, lane])
    schedule.parallel(schedule.fuse(*outer))
    schedule.compute_at(block, tiles, preserve_unit_loops=True)
    sum_in_registers(kernel, block, partial, depth=2)
    for producer in producers:
        schedule_block(kernel, producer)


def schedule_channelwise(kernel: KernelSchedule, block: Block) -> None:
    """Schedule a depthwise convolution or a pool: a task pads the few rows of its own channels that it reads."""
    output = _output_of(kernel, block)
    if output is None:
        schedule_generic(kernel)
        return
    schedule = kernel.schedule
    producers = schedule.get_producers(block)
    *planes, column, lane = schedule.get_loops(output)
    tasks, rows = _split_rows(kernel, planes)
    tiles, column_inner = schedule.split(column, [None, _columns(kernel, kernel.extent(column))])
    keep_in_registers(kernel, [column_inner, lane])
    task = schedule.fuse(*tasks)
    schedule.parallel(task)
    schedule.compute_at(block, tiles, preserve_unit_loops=True)
    sum_in_registers(kernel, block, None, depth=2 + len(rows))
    for producer in producers:
        schedule.compute_at(producer, task, preserve_unit_loops=True)
        schedule.vectorize(schedule.get_loops(producer)[-1])


def _output_of(kernel: KernelSchedule, block: Block) -> Block | None:
    """Return the block that writes a window's result, of the same shape; None where there are other readers."""
    schedule = kernel.schedule
    consumers = schedule.get_consumers(block)
    if not consumers:
        schedule.cache_write(block, 0, "global")
        consumers = schedule.get_consumers(block)
    if len(consumers) != 1 or not kernel.is_regular(consumers[0]):
        return None
    own, _ = kernel.reduction_axes(block)
    theirs = schedule.get_loops(consumers[0])
    same = [kernel.extent(loop) for loop in own] == [kernel.extent(loop) for loop in theirs]
    return consumers[0] if same else None


def _split_rows(kernel: KernelSchedule, planes: list[Loop]) -> tuple[list[Loop], list[Loop]]:
    """Split (n, o, rows …) into parallel tasks and the rows that one task computes one after the other."""
    batch, blocks, *rows = planes
    if not rows:
        return planes, []
    wanted = _TASKS_PER_CORE * kernel.target.cores
    others = math.prod(map(kernel.extent, [batch, blocks, *rows[:-1]]))
    extent = kernel.extent(rows[-1])
    chunk = divisor_up_to(extent, max(1, extent * others // wanted))
    outer, inner = kernel.schedule.split(rows[-1], [None, chunk])
    return [batch, blocks, *rows[:-1], outer], [inner]


def _columns(kernel: KernelSchedule, extent: int) -> int:
    return divisor_up_to(extent, kernel.target.vector_registers // 2)
