"""Long sums: in registers for speed, in parts for accuracy.

A sum of n products, one after the other, errs by about √n roundings. Sums are therefore made in parts of a few
hundred products, which are then added up: √(part + parts) roundings, for one more addition a part.
"""

from __future__ import annotations

import math

from tvm import tirx

from graphopt.backends.tvm.schedule.dots import mark_dot, neighbours
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule, divisors, keep_in_registers, unroll

_PART = 256
"""Products summed one after the other."""
_UNROLLED_PARTS = 3
"""Parts whose loop LLVM unrolls, and then spills the sums of the second in its innermost loop."""
_UNROLLED_TAPS = 3
"""Taps along one axis that are unrolled; more would only fill the instruction cache."""


def partial_sums(kernel: KernelSchedule, block: Block) -> Block | None:
    """Split the outermost reduction of a block into parts; return the block that makes them, None if it is short.

    `block` is left to add the parts up. Sums of integers are exact as they are.
    """
    if not str(kernel.schedule.get(block).writes[0].source.dtype).startswith("float"):
        return None
    _, (outermost, *others) = kernel.reduction_axes(block)
    products = math.prod(map(kernel.extent, others))
    count = parts_of_a_sum(kernel.extent(outermost), products)
    if count == 1:
        return None
    parts, _ = kernel.schedule.split(outermost, [count, None])
    return kernel.schedule.rfactor(parts, factor_axis=0)


def parts_of_a_sum(steps: int, products: int) -> int:
    """Return in how many parts to sum so many steps of so many products each: as few as are short, or more."""
    counts = [steps // size for size in divisors(steps, steps) if steps // size != _UNROLLED_PARTS]
    return next((count for count in counts if steps // count * products <= _PART), counts[-1])


def unrolls_taps(kernel: KernelSchedule, block: Block) -> bool:
    """Whether taps are unrolled: no channels are summed within them, or few."""
    axes = [axis for axis in kernel.schedule.get(block).iter_vars if axis.iter_type == tirx.IterVar.CommReduce]
    innermost = axes[-2] if (neighbours(kernel, block) or 1) > 1 else axes[-1]
    return int(innermost.dom.extent) <= _UNROLLED_TAPS


def sum_in_registers(kernel: KernelSchedule, block: Block, partial: Block | None, *, depth: int) -> None:
    """Keep the tile that a block computes below `depth` loops in registers, and likewise that of its parts.

    Taps are unrolled where no channels are summed within them: LLVM would otherwise keep inputs that neighbouring
    columns share from tap to tap, and spill sums for them.
    """
    schedule = kernel.schedule
    tile, reducing = kernel.reduction_axes(block, below=depth)
    *columns, lane = tile
    together = neighbours(kernel, block)
    group = [reducing.pop()] if together is not None and together > 1 else []
    schedule.reorder(*reducing, *columns, *group, lane)
    if together is None:
        schedule.vectorize(lane)
    unroll(kernel, columns)
    if partial is not None:
        schedule.compute_at(partial, reducing[0], preserve_unit_loops=True)
        sum_in_registers(kernel, partial, None, depth=depth + 1)
    if unrolls_taps(kernel, block):
        for loop in reducing[1:]:
            if kernel.extent(loop) <= _UNROLLED_TAPS:
                schedule.unroll(loop)
    start = schedule.decompose_reduction(block, reducing[0])
    keep_in_registers(kernel, schedule.get_loops(start)[depth:])
    if together is not None:
        mark_dot(kernel, block, *group or [lane])
