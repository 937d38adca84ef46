"""Windows over each channel alone: a few columns of outputs stay in registers while the taps are summed into them.

Serves depthwise convolution and pooling, on any number of spatial axes: both write [n, o, *s, l] and reduce over taps.
"""

from __future__ import annotations

import math

from graphopt.backends.tvm.schedule.kernel import (
    Block,
    KernelSchedule,
    Loop,
    divisor_up_to,
    divisors,
    keep_in_registers,
    peel_last,
)
from graphopt.backends.tvm.schedule.summation import sum_in_registers
from graphopt.backends.tvm.schedule.window import TASKS_PER_CORE, output_of


def schedule_channelwise(kernel: KernelSchedule, block: Block) -> bool:
    """Schedule a depthwise convolution or a pool: a task pads the few rows of its own channels that it reads."""
    output = output_of(kernel, block)
    if output is None:
        return False
    schedule = kernel.schedule
    producers = schedule.get_producers(block)
    *planes, column, lane = schedule.get_loops(output)
    tasks, rows = _split_rows(kernel, planes)
    tiles, column_inner = schedule.split(column, [None, _columns(kernel, kernel.extent(column))])
    peel_last(kernel, tiles)
    keep_in_registers(kernel, [column_inner, lane])
    task = schedule.fuse(*tasks)
    schedule.parallel(task)
    schedule.compute_at(block, tiles, preserve_unit_loops=True)
    sum_in_registers(kernel, block, None, depth=2 + len(rows))
    for producer in producers:
        schedule.compute_at(producer, task, preserve_unit_loops=True)
        schedule.vectorize(schedule.get_loops(producer)[-1])
    return True


def _split_rows(kernel: KernelSchedule, planes: list[Loop]) -> tuple[list[Loop], list[Loop]]:
    """Split (n, o, rows …) into parallel tasks and the rows that one task computes one after the other."""
    batch, blocks, *rows = planes
    if not rows:
        return planes, []
    wanted = TASKS_PER_CORE * kernel.target.cores
    others = math.prod(map(kernel.extent, [batch, blocks, *rows[:-1]]))
    extent = kernel.extent(rows[-1])
    default = divisor_up_to(extent, max(1, extent * others // wanted))
    chunk = kernel.choose("rows", divisors(extent, extent), default)
    outer, inner = kernel.schedule.split(rows[-1], [None, chunk])
    return [batch, blocks, *rows[:-1], outer], [inner]


def _columns(kernel: KernelSchedule, extent: int) -> int:
    """Choose as many columns as fill half of the registers, or fewer that leave no narrow tile at the end."""
    most = min(extent, kernel.target.vector_registers // 2)
    even = divisor_up_to(extent, most)
    widest = min(extent, kernel.target.vector_registers - 2)
    return kernel.choose("columns", range(1, widest + 1), even if 2 * even > most else most)
