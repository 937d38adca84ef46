"""Products of narrow numbers, summed together with their neighbours: one instruction for a vector of sums.

TVM has no type for the operands of LLVM's intrinsics, or intrinsics that LLVM has changed since, so the instruction
stands in a function of LLVM's own language, which the code of a kernel imports and LLVM inlines; see `instructions`.

A schedule marks the loops that the function is to take the place of, and `call_sums` puts it there when all others are
arranged: TVM's own primitive for it, tensorize, gets the last tile of a row wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import tvm_ffi
from tvm import ir, s_tir, tirx

from graphopt.backends.tvm.kernels import KERNEL, Kernel
from graphopt.backends.tvm.narrow import NARROW
from graphopt.backends.tvm.schedule.instructions import FUNCTIONS, definition
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule, Loop

_SUMMED = "graphopt.dot"


def neighbours(kernel: KernelSchedule, block: Block) -> int | None:
    """Return how many narrow products of a block are summed together, None where it sums no such.

    More than one are the innermost of its reductions. Of windows over each channel alone it is one: each lane of the
    sums has a value of its own.
    """
    dtype = _narrow_dtype(kernel, block)
    if dtype is None:
        return None
    alone = kernel.schedule.get(block).annotations.get(KERNEL) == Kernel.DEPTHWISE_CONV.value
    return 1 if alone else NARROW[dtype].together


def mark_dot(kernel: KernelSchedule, block: Block, loop: Loop) -> None:
    """Mark the loop over neighbours around that over lanes, or the latter where there are none, for `call_sums`.

    Where LLVM does not make the code, the loops stay.
    """
    schedule, dtype, together = kernel.schedule, _narrow_dtype(kernel, block), neighbours(kernel, block)
    if dtype is not None and together is not None and kernel.target.llvm:
        text = definition(kernel.target, dtype, together)
        schedule.annotate(schedule.get_loops(block)[0], "pragma_import_llvm", text)
        schedule.annotate(loop, _SUMMED, together)


def _narrow_dtype(kernel: KernelSchedule, block: Block) -> str | None:
    """Return the dtype of a block's weights where it multiplies and that says that they are narrow."""
    realize = kernel.schedule.get(block)
    factors = [region.source for region in realize.reads if not region.source.same_as(realize.writes[0].source)]
    dtypes = [str(factor.dtype) for factor in factors] if len(factors) > 1 else []
    return next((dtype for dtype in dtypes if dtype in NARROW), None)


def call_sums(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Replace the marked loops of a kernel by calls of the function that it imports."""

    def replaced(loop: tirx.For) -> tirx.Stmt:
        return _call(loop) if _SUMMED in loop.annotations else loop

    return tvm_ffi.structural_map(function, (tirx.For, replaced))


def _call(loop: tirx.For) -> tirx.Stmt:
    """Return the block in marked loops without them: sums[…, lane] += value[…, j] · weights[…, lane, j].

    Of one product: sums[…, lane] += value[…, lane] · weights[…, lane].
    """
    together = int(loop.annotations[_SUMMED])
    lane = loop if together == 1 else loop.body
    realize, lanes = lane.body, int(lane.extent)
    store = realize.block.body
    axes = list(zip(realize.block.iter_vars, realize.iter_values, strict=True))
    kept = [axis for axis in axes if not any(axis[1].same_as(each.loop_var) for each in (loop, lane))]
    (inner,) = (axis.var for axis, at in axes if at.same_as(loop.loop_var))
    value, weights = _factors(store)
    first = _without(value.indices[-1], inner)
    sums = _Vector(store.buffer, store.indices[:-1], [(0, lanes)])
    if together == 1:
        right = _Vector(weights.source, weights.indices[:-1], [(0, lanes)])
        left = _Vector(value.source, value.indices[:-1], [(first, lanes)])
        factor = left.load()
    else:
        right = _Vector(weights.source, weights.indices[:-2], [(0, lanes), (0, together)])
        left = _Vector(value.source, value.indices[:-1], [(first, together)])
        factor = tirx.reinterpret("int32", left.load())
    before = sums.load()
    total = tirx.call_pure_extern(before.ty.dtype, FUNCTIONS[together], before, right.load(), factor)
    block = s_tir.SBlock(
        [axis for axis, _ in kept],
        [each.region() for each in (sums, right, left)],
        [sums.region()],
        realize.block.name_hint,
        tirx.BufferStore(store.buffer, total, sums.indices()),
    )
    return s_tir.SBlockRealize([at for _, at in kept], realize.predicate, block)


def _factors(store: tirx.BufferStore) -> tuple[ir.TensorLoad, ir.TensorLoad]:
    """Return what is multiplied, the value of all lanes first."""
    loads: list[ir.TensorLoad] = []
    tvm_ffi.structural_walk(store.value, (ir.TensorLoad, loads.append))
    value, weights = (load for load in loads if not load.source.same_as(store.buffer))
    return value, weights


def _without(index: tirx.Expr, variable: tirx.Var) -> tirx.Expr:
    """Return an index where a variable is 0."""
    zero = tirx.const(0, variable.ty.dtype)
    return tvm_ffi.structural_map(index, (tirx.Var, lambda each: zero if each.same_as(variable) else each))


@dataclass(frozen=True)
class _Vector:
    """Neighbouring elements of a tensor: at a place of its outer axes all that its inner ones run through."""

    tensor: tirx.Var
    place: Sequence[tirx.Expr]
    inner: Sequence[tuple[tirx.Expr | int, int]]
    """First index and extent, one an axis."""

    def indices(self) -> list[tirx.Expr]:
        """Return the indices of a load: the last one runs on through what the other inner axes hold."""
        *outer, (first, _) = self.inner
        count = math.prod(extent for _, extent in self.inner)
        return [*self.place, *(begin for begin, _ in outer), tirx.Ramp(first, 1, count)]

    def region(self) -> ir.TensorRegion:
        """Return what the load reads."""
        ranges = [*((index, 1) for index in self.place), *self.inner]
        return tirx.BufferRegion(self.tensor, [ir.Range.from_min_extent(first, extent) for first, extent in ranges])

    def load(self) -> tirx.Expr:
        """Return the load."""
        return tirx.BufferLoad(self.tensor, self.indices())
