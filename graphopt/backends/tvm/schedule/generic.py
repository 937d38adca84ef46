"""The schedule of any kernel: parallel outside, vectors inside, reductions apart from their initialization."""

from __future__ import annotations

import math

from tvm import s_tir

from graphopt.backends.tvm.schedule.kernel import PARALLEL_FROM, Block, KernelSchedule, Loop

_WIDEST_WHOLE_VECTOR = 64
"""An innermost axis of up to this many elements becomes one vector operation (of several registers)."""


def schedule_generic(kernel: KernelSchedule) -> None:
    """Schedule every block of a kernel on its own."""
    kernel.inline_elementwise()
    for block in kernel.blocks():
        schedule_block(kernel, block)


def schedule_block(kernel: KernelSchedule, block: Block) -> None:
    """Schedule one block; a block that is no regular loop nest (a sort, a scan) stays as it is."""
    if not kernel.is_regular(block):
        return
    if kernel.is_reduction(block):
        _schedule_reduction(kernel, block)
    else:
        _schedule_spatial(kernel, block)


def _schedule_spatial(kernel: KernelSchedule, block: Block) -> None:
    steps = kernel.steps(block)
    *outer, inner = kernel.schedule.get_loops(block)
    if not outer:
        inner_outer, inner = _split_vector(kernel, block, inner)
        outer = [inner_outer] if inner_outer is not None else []
        if not outer:
            return
        _vectorize(kernel, block, inner)
        _parallel(kernel, outer, steps)
        return
    _vectorize(kernel, block, inner)
    _parallel(kernel, outer, steps)


def _schedule_reduction(kernel: KernelSchedule, block: Block) -> None:
    schedule = kernel.schedule
    steps = kernel.steps(block)
    spatial, reducing = kernel.reduction_axes(block)
    if not spatial or not reducing:
        return
    *outer, inner = spatial
    tile, vector = _split_vector(kernel, block, inner)
    if tile is not None:
        outer.append(tile)
    schedule.reorder(*outer, *reducing, vector)
    _parallel(kernel, outer, steps)
    if tile is not None:
        schedule.vectorize(vector)
    start = schedule.decompose_reduction(block, reducing[0])
    if tile is not None:
        schedule.vectorize(schedule.get_loops(start)[-1])


def _split_vector(kernel: KernelSchedule, block: Block, loop: Loop) -> tuple[Loop | None, Loop]:
    """Split a vector off a loop; (None, loop) where its extent does not divide."""
    lanes = kernel.lanes(block)
    if lanes == 1 or kernel.extent(loop) % lanes:
        return None, loop
    outer, inner = kernel.schedule.split(loop, [None, lanes])
    return outer, inner


def _vectorize(kernel: KernelSchedule, block: Block, loop: Loop) -> None:
    extent, lanes = kernel.extent(loop), kernel.lanes(block)
    if lanes > kernel.target.lanes():  # narrow results come from wider numbers, of which fewer fill a register
        lanes = math.gcd(extent, lanes)
    if lanes == 1 or extent == 1 or extent % lanes:
        return
    if extent > _WIDEST_WHOLE_VECTOR:
        _, loop = kernel.schedule.split(loop, [None, lanes])
    try:
        kernel.schedule.vectorize(loop)
    except s_tir.schedule.ScheduleError:
        return  # the body is no vector operation (it writes through an index); it stays scalar


def _parallel(kernel: KernelSchedule, loops: list[Loop], steps: int) -> None:
    if not loops or steps < PARALLEL_FROM or kernel.target.cores == 1:
        return
    fused = kernel.schedule.fuse(*loops) if len(loops) > 1 else loops[0]
    kernel.schedule.parallel(fused)
