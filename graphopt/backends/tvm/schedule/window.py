"""What the schedules of sliding windows have in common."""

from __future__ import annotations

from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule

TASKS_PER_CORE = 4
"""Parallel tasks a core, so that an uneven last round costs little."""


def output_of(kernel: KernelSchedule, block: Block) -> Block | None:
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
