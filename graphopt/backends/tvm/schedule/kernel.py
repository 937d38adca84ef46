"""The shape of a kernel: its blocks, and what can be said about them before choosing loops."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import s_tir, tirx

from graphopt.backends.tvm.bfloat16 import STORED as STORED_BFLOAT16
from graphopt.backends.tvm.kernels import KERNEL, STORED, Kernel
from graphopt.backends.tvm.schedule.choices import Choices, Option
from graphopt.targets import Target

Block = Any
"""A block's handle within one schedule (`tvm.s_tir.schedule.SBlockRV`)."""
Loop = Any
"""A loop's handle within one schedule (`tvm.s_tir.schedule.LoopRV`)."""

_FLOAT_BITS = 32
PARALLEL_FROM = 1 << 13
"""Elementary steps from which starting the other threads pays: about two microseconds of work."""


@dataclass(frozen=True)
class KernelSchedule:
    """A kernel in the course of being scheduled for a target."""

    schedule: s_tir.Schedule
    target: Target
    choices: Choices = field(default_factory=Choices)

    def choose(self, knob: str, options: Iterable[Option], default: Option) -> Option:
        """Return the option that is decided for a knob of this kernel, the default where none is; see `choices`."""
        return self.choices.choose(knob, options, default)

    def blocks(self) -> list[Block]:
        """Return the blocks, in order of execution."""
        return list(self.schedule.get_child_blocks(self.schedule.get_sblock("root")))

    def marked(self) -> tuple[Kernel, Block] | None:
        """Return the block that lowering marked, and as what."""
        for block in self.blocks():
            name = self.schedule.get(block).annotations.get(KERNEL)
            if name is not None:
                return Kernel(str(name)), block
        return None

    def is_reduction(self, block: Block) -> bool:
        """Whether a block sums (or otherwise reduces) over some of its axes."""
        return self.schedule.get(block).init is not None

    def extent(self, loop: Loop) -> int:
        """Return how often a loop runs."""
        return int(self.schedule.get(loop).extent)

    def shape(self, block: Block) -> tuple[int, ...]:
        """Return the shape of what a block writes."""
        return tuple(int(extent) for extent in self.schedule.get(block).writes[0].source.shape)

    def steps(self, block: Block) -> int:
        """Return how often a block's body runs."""
        return math.prod(map(self.extent, self.schedule.get_loops(block)))

    def lanes(self, block: Block) -> int:
        """Return how many elements of what a block writes fill a vector register; bfloat16 come from float32."""
        dtype = self.schedule.get(block).writes[0].source.dtype
        bits = _FLOAT_BITS if dtype == STORED_BFLOAT16 else max(8, tvm.DataType(dtype).bits)
        return max(1, self.target.lanes(bits))

    def is_regular(self, block: Block) -> bool:
        """Whether a block stands in a perfect nest of one loop an axis, in the order of its axes."""
        realize = self.schedule.get(block)
        loops = self.schedule.get_loops(block)
        if not loops or len(loops) != len(realize.iter_vars):
            return False
        return all(int(self.extent(loop)) == _extent(axis) for loop, axis in zip(loops, realize.iter_vars, strict=True))

    def inline_elementwise(self) -> None:
        """Compute every intermediate that no reduction reads where it is used, instead of storing it.

        What a reduction reads stays stored: it would be computed again for every tap. So does what lowering says.
        """
        for block in self.blocks():
            consumers = self.schedule.get_consumers(block)
            if self.is_reduction(block) or not consumers or any(map(self.is_reduction, consumers)):
                continue
            if STORED.keys() & self.schedule.get(block).annotations.keys():
                continue
            try:
                self.schedule.compute_inline(block)
            except s_tir.schedule.ScheduleError:
                continue  # its consumer reads it in a form that cannot be substituted; it is stored instead

    def reduction_axes(self, block: Block, *, below: int = 0) -> tuple[list[Loop], list[Loop]]:
        """Return a block's loops below a depth, one an axis in the order of its axes, as (spatial, reducing)."""
        loops, axes = self.schedule.get_loops(block)[below:], self.schedule.get(block).iter_vars
        spatial: list[Loop] = []
        reducing: list[Loop] = []
        for loop, axis in zip(loops, axes, strict=True):
            (reducing if axis.iter_type == tirx.IterVar.CommReduce else spatial).append(loop)
        return spatial, reducing


def _extent(axis: tirx.IterVar) -> int:
    extent = axis.dom.extent
    return int(extent) if isinstance(extent, tirx.IntImm) else -1


def divisors(extent: int, most: int) -> Iterator[int]:
    """Yield the divisors of an extent that are at most `most`, the largest first."""
    return (size for size in range(min(extent, most), 0, -1) if extent % size == 0)


def divisor_up_to(extent: int, most: int) -> int:
    """Return the largest divisor of an extent that is at most `most`."""
    return next(divisors(extent, most))


def keep_in_registers(kernel: KernelSchedule, tile: Sequence[Loop]) -> None:
    """Make a tile's innermost loop one vector and unroll the others, so that LLVM keeps the tile in registers."""
    *others, lane = tile
    kernel.schedule.vectorize(lane)
    unroll(kernel, others)


def unroll(kernel: KernelSchedule, loops: Sequence[Loop]) -> None:
    """Unroll loops."""
    for loop in loops:
        kernel.schedule.unroll(loop)


def peel_last(kernel: KernelSchedule, loop: Loop) -> None:
    """Give the last turn of a loop, in which part of a tile lies outside, code of its own; see `codegen`."""
    kernel.schedule.annotate(loop, "pragma_loop_partition_hint", 1)
