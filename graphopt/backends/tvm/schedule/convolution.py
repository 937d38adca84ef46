"""Direct convolution: a tile of output columns × lanes stays in registers while all taps are summed into it."""

from __future__ import annotations

from graphopt.backends.tvm.schedule.generic import schedule_block
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule, Loop, divisor_up_to

_UNROLLED_TAPS = 3
"""Taps along a row that are unrolled; more would only fill the instruction cache."""


def schedule_conv(kernel: KernelSchedule, block: Block) -> None:
    """Schedule [n, o, *s, l] reduced over [c, *k, i]; blocks of channels × rows run in parallel."""
    output = _output_of(kernel, block)
    if output is None:
        return _schedule_apart(kernel)
    _tile(kernel, block, output)
    return None


def _output_of(kernel: KernelSchedule, block: Block) -> Block | None:
    """Return the block that writes the result of a convolution, of the same shape; None where there is none."""
    schedule = kernel.schedule
    consumers = schedule.get_consumers(block)
    if not consumers:
        schedule.cache_write(block, 0, "global")
        consumers = schedule.get_consumers(block)
    if len(consumers) != 1:
        return None
    own, _ = kernel.reduction_axes(block)
    theirs = schedule.get_loops(consumers[0])
    same = [kernel.extent(loop) for loop in own] == [kernel.extent(loop) for loop in theirs]
    return consumers[0] if same else None


def _schedule_apart(kernel: KernelSchedule) -> None:
    for block in kernel.blocks():
        schedule_block(kernel, block)


def _tile(kernel: KernelSchedule, block: Block, output: Block) -> None:
    schedule = kernel.schedule
    producers = schedule.get_producers(block)
    *outer, row, lane = schedule.get_loops(output)
    width = _columns(kernel, kernel.extent(row))
    tiles, column = schedule.split(row, [None, width])
    schedule.vectorize(lane)
    schedule.unroll(column)
    schedule.parallel(schedule.fuse(*outer))
    schedule.compute_at(block, tiles, preserve_unit_loops=True)
    _sum_in_registers(kernel, block, depth=2)
    for producer in producers:
        schedule_block(kernel, producer)


def _sum_in_registers(kernel: KernelSchedule, block: Block, *, depth: int) -> None:
    schedule = kernel.schedule
    loops = schedule.get_loops(block)[depth:]
    rank = len(schedule.get(block).writes[0].region)
    tile, reducing = loops[:rank], loops[rank:]
    schedule.reorder(*reducing, *tile)
    _unroll_tile(kernel, tile)
    taps = reducing[-2] if len(reducing) > rank - 2 else reducing[-1]
    if kernel.extent(taps) <= _UNROLLED_TAPS:
        schedule.unroll(taps)
    start = schedule.decompose_reduction(block, reducing[0])
    _unroll_tile(kernel, schedule.get_loops(start)[-rank:])


def _unroll_tile(kernel: KernelSchedule, tile: list[Loop]) -> None:
    *others, lane = tile
    kernel.schedule.vectorize(lane)
    for loop in others:
        kernel.schedule.unroll(loop)


def _columns(kernel: KernelSchedule, extent: int) -> int:
    """Return how many columns to keep in registers: as many as leave some for the weights and inputs."""
    return divisor_up_to(extent, kernel.target.vector_registers - 4)
