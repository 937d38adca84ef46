"""Schedules for GPUs: windows by our own, all else by TVM's rules (`tvm.s_tir.dlight`).

A thread computes a strip of neighbouring columns of one channel, which share the weights that they are multiplied
with, and sums in registers; the threads of half a warp have the lanes of one block of channels, so that they read
neighbouring weights at once and the same input, which comes to all of them from the cache. What follows a sum, its
bias and activation, is computed where it is.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm.s_tir import dlight
from tvm_ffi import structural_walk

from graphopt.backends.tvm.kernels import Kernel
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule, Loop, divisor_up_to
from graphopt.backends.tvm.schedule.window import output_of
from graphopt.targets import Target

_WINDOWS = frozenset({Kernel.CONV, Kernel.CONV_TRANSPOSE, Kernel.DEPTHWISE_CONV, Kernel.POINTWISE_CONV, Kernel.POOL})
_RULES = (
    dlight.gpu.Matmul,
    dlight.gpu.GEMV,
    dlight.gpu.Reduction,
    dlight.gpu.GeneralReduction,
    dlight.gpu.Fallback,
)
"""TVM's, the fastest first; with the last, threads share no memory."""
_STRIP = 4
"""Columns of a thread at most; more would leave small images with few threads."""
_THREADS = 128
"""Of a block."""
_UNROLLED = 16
"""Taps along the innermost axes that are unrolled."""


def schedule_for_gpu(function: tirx.PrimFunc, target: Target, machine: tvm.target.Target) -> tirx.PrimFunc:
    """Return a kernel whose loops are bound to blocks of threads."""
    kernel = KernelSchedule(s_tir.Schedule(function), target)
    marked = kernel.marked()
    if marked is not None and marked[0] in _WINDOWS and _is_window_scheduled(kernel, marked[1]):
        (scheduled,) = kernel.schedule.mod.functions.values()
        return scheduled.with_attrs(dict(function.attrs)) if function.attrs else scheduled
    try:
        scheduled = _by_rules(function, machine, _RULES)
    except (ValueError, RuntimeError):  # GEMV fails for Metal at products that it takes, those of densenet121 for one
        return _by_rules(function, machine, _RULES[-1:])
    return scheduled if _is_launchable(scheduled, target) else _by_rules(function, machine, _RULES[-1:])


def _by_rules(function: tirx.PrimFunc, machine: tvm.target.Target, rules: tuple[Any, ...]) -> tirx.PrimFunc:
    with machine:
        apply = dlight.ApplyDefaultSchedule(*(rule() for rule in rules))
        (scheduled,) = apply(tvm.IRModule({"main": function})).functions.values()
    return scheduled


def _is_launchable(kernel: tirx.PrimFunc, target: Target) -> bool:
    """Whether no launch of a scheduled kernel asks for more than a GPU gives; TVM's rules know of some limits only."""
    threads: dict[str, int] = {}
    shared: list[int] = []

    def bound(loop: tirx.For) -> None:
        tag = "" if loop.thread_binding is None else str(loop.thread_binding.thread_tag)
        if tag.startswith("threadIdx"):
            threads[tag] = max(threads.get(tag, 1), int(loop.extent))

    def allocated(block: s_tir.SBlock) -> None:
        buffers = (buffer for buffer in block.alloc_buffers if buffer.scope().startswith("shared"))
        shared.extend(math.prod(map(int, one.shape)) * tvm.DataType(one.dtype).bits // 8 for one in buffers)

    structural_walk(kernel.body, (tirx.For, bound))
    structural_walk(kernel.body, (s_tir.SBlock, allocated))
    return math.prod(threads.values()) <= target.threads_per_block and sum(shared) <= target.shared_bytes


def _is_window_scheduled(kernel: KernelSchedule, block: Block) -> bool:
    """Schedule a window, as far as fusion left it one; False where TVM's rules shall begin anew."""
    try:
        kernel.inline_elementwise()
        return _schedule_window(kernel, block)
    except s_tir.schedule.ScheduleError:
        return False  # a form that TVM's analysis of loops does not see through


def _schedule_window(kernel: KernelSchedule, block: Block) -> bool:
    """Schedule [n, o, *s, l] reduced over anything, read by one block of the same shape; False where it is not so."""
    output, schedule = output_of(kernel, block), kernel.schedule
    if output is None:
        return False
    others = [one for one in kernel.blocks() if not _is_any_of(kernel, one, (block, output))]
    if any(map(kernel.is_reduction, others)) or not all(map(kernel.is_regular, others)):
        return False
    for one in others:
        if schedule.get_consumers(one) and _is_inlined(kernel, one):
            continue
        _bind(kernel, schedule.get_loops(one))
    *outer, column, lane = schedule.get_loops(output)
    strips, strip = schedule.split(column, [None, divisor_up_to(kernel.extent(column), _STRIP)])
    schedule.reorder(*outer, strips, lane, strip)
    thread = _bind(kernel, [*outer, strips, lane])
    schedule.compute_at(block, thread, preserve_unit_loops=True)
    schedule.set_scope(block, 0, "local")
    _sum_in_registers(kernel, block, below=len(schedule.get_loops(output)) - 1)
    return True


def _sum_in_registers(kernel: KernelSchedule, block: Block, below: int) -> None:
    schedule = kernel.schedule
    spatial, reducing = kernel.reduction_axes(block, below=below)
    schedule.reorder(*reducing, *spatial)
    for loop in spatial:
        schedule.unroll(loop)
    steps = 1
    for loop in reversed(reducing):
        steps *= kernel.extent(loop)
        if steps > _UNROLLED:
            break
        schedule.unroll(loop)
    if reducing:
        start = schedule.decompose_reduction(block, reducing[0])
        for loop in schedule.get_loops(start)[below:]:
            schedule.unroll(loop)


def _bind(kernel: KernelSchedule, loops: list[Loop]) -> Loop:
    """Deal the turns of loops out to threads; return the loop of a thread.

    A block has whole inner loops, and a part of the next that divides it: TVM's analysis would see no sums behind the
    condition of a last, smaller block, nor where a block begins amid a loop.
    """
    schedule = kernel.schedule
    threads = 1
    for extent in map(kernel.extent, reversed(loops)):
        part = divisor_up_to(extent, _THREADS // threads)
        threads *= part
        if part < extent:
            break
    fused = schedule.fuse(*loops)
    blocks, thread = schedule.split(fused, [None, threads])
    schedule.bind(blocks, "blockIdx.x")
    schedule.bind(thread, "threadIdx.x")
    return thread


def _is_inlined(kernel: KernelSchedule, block: Block) -> bool:
    """Compute a block, such as padding, where it is read, if it can be; a GPU reads memory slower than it computes."""
    try:
        kernel.schedule.compute_inline(block)
    except s_tir.schedule.ScheduleError:
        return False
    return True


def _is_any_of(kernel: KernelSchedule, block: Block, others: tuple[Block, ...]) -> bool:
    return any(kernel.schedule.get(block).same_as(kernel.schedule.get(other)) for other in others)
