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

from graphopt.backends.tvm.narrow import NARROW
from graphopt.backends.tvm.schedule.instructions import FUNCTION, definition
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule, Loop

_SUMMED = "graphopt.dot"


def neighbours(kernel: KernelSchedule, block: Block) -> int:
    """Return how many neighbours the innermost reduction of a block sums together, 1 where numbers are not narrow."""
    found = _narrow_dtype(kernel, block)
    return 1 if found is None else NARROW[found].together


def mark_dot(kernel: KernelSchedule, block: Block, group: Loop) -> None:
    """Mark the loop over neighbours around that over lanes, the two innermost ones of a block, for `call_sums`."""
    schedule, dtype = kernel.schedule, _narrow_dtype(kernel, block)
    if dtype is not None:
        schedule.annotate(schedule.get_loops(block)[0], "pragma_import_llvm", definition(kernel.target, dtype))
        schedule.annotate(group, _SUMMED, 1)


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


def _call(group: tirx.For) -> tirx.Stmt:
    """Return the block in the two loops without them: sums[…, lane] += value[…, j] · weights[…, lane, j]."""
    lane, realize = group.body, group.body.body
    lanes, store = int(lane.extent), realize.block.body
    axes = list(zip(realize.block.iter_vars, realize.iter_values, strict=True))
    kept = [axis for axis in axes if not any(axis[1].same_as(loop.loop_var) for loop in (group, lane))]
    (group_axis,) = (axis.var for axis, at in axes if at.same_as(group.loop_var))
    together, (value, weights) = int(group.extent), _factors(store)
    read = (
        _Vector(store.buffer, store.indices[:-1], [(0, lanes)]),
        _Vector(weights.source, weights.indices[:-2], [(0, lanes), (0, together)]),
        _Vector(value.source, value.indices[:-1], [(_without(value.indices[-1], group_axis), together)]),
    )
    sums, *factors = (each.load() for each in read)
    total = tirx.call_pure_extern(sums.ty.dtype, FUNCTION, sums, factors[0], tirx.reinterpret("int32", factors[1]))
    block = s_tir.SBlock(
        [axis for axis, _ in kept],
        [each.region() for each in read],
        [read[0].region()],
        realize.block.name_hint,
        tirx.BufferStore(store.buffer, total, read[0].indices()),
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
