"""Products of bfloat16 pairs, summed in float32: one instruction for a vector of sums.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, VDPBF16PS. TVM has no type for the operands of
LLVM's intrinsic, so the instruction stands in a function of LLVM's own language, which the code of a kernel imports
and LLVM inlines. It flushes denormal numbers to zero.

A schedule marks the loops that the function is to take the place of, and `call_sums` puts it there when all others are
arranged: TVM's own primitive for it, tensorize, gets the last tile of a row wrong.

A processor without the instruction gets the same sums from float32. `parse_target` lets no user there, since it only
takes longer; tests run it where they cannot run the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import tvm_ffi
from tvm import ir, s_tir, tirx

from graphopt.backends.tvm.bfloat16 import PAIR, STORED
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule, Loop
from graphopt.targets import Target

_SUMMED = "graphopt.pair"
_FUNCTION = "graphopt_sum_pairs"
_HEAD = """
define <{lanes} x float> @{name}(<{lanes} x float> %sums, <{numbers} x i16> %weights, i32 %value) {{
  %first = insertelement <{lanes} x i32> poison, i32 %value, i64 0
  %values = shufflevector <{lanes} x i32> %first, <{lanes} x i32> poison, <{lanes} x i32> zeroinitializer
"""
_NATIVE = """
  %a = bitcast <{numbers} x i16> %weights to <{numbers} x bfloat>
  %b = bitcast <{lanes} x i32> %values to <{numbers} x bfloat>
  %total = call <{lanes} x float> @llvm.x86.avx512bf16.dpbf16ps.{bits}(
    <{lanes} x float> %sums, <{numbers} x bfloat> %a, <{numbers} x bfloat> %b)
  ret <{lanes} x float> %total
}}
declare <{lanes} x float> @llvm.x86.avx512bf16.dpbf16ps.{bits}(
  <{lanes} x float>, <{numbers} x bfloat>, <{numbers} x bfloat>)
"""
_PORTABLE = """
  %pairs = bitcast <{numbers} x i16> %weights to <{lanes} x i32>
  %low.a = shl <{lanes} x i32> %pairs, splat (i32 16)
  %low.b = shl <{lanes} x i32> %values, splat (i32 16)
  %high.a = and <{lanes} x i32> %pairs, splat (i32 -65536)
  %high.b = and <{lanes} x i32> %values, splat (i32 -65536)
  %low.x = bitcast <{lanes} x i32> %low.a to <{lanes} x float>
  %low.y = bitcast <{lanes} x i32> %low.b to <{lanes} x float>
  %high.x = bitcast <{lanes} x i32> %high.a to <{lanes} x float>
  %high.y = bitcast <{lanes} x i32> %high.b to <{lanes} x float>
  %low = fmul <{lanes} x float> %low.x, %low.y
  %high = fmul <{lanes} x float> %high.x, %high.y
  %part = fadd <{lanes} x float> %sums, %high
  %total = fadd <{lanes} x float> %part, %low
  ret <{lanes} x float> %total
}}
"""


def multiplies_pairs(kernel: KernelSchedule, block: Block) -> bool:
    """Whether a block sums products of pairs: the innermost of its reductions is over the two of a pair."""
    return any(region.source.dtype == STORED for region in kernel.schedule.get(block).reads)


def mark_pair(kernel: KernelSchedule, block: Block, pair: Loop) -> None:
    """Mark the loop over a pair around the loop over lanes, the two innermost ones of a block, for `call_sums`."""
    schedule = kernel.schedule
    schedule.annotate(schedule.get_loops(block)[0], "pragma_import_llvm", definition(kernel.target))
    schedule.annotate(pair, _SUMMED, 1)


def definition(target: Target) -> str:
    """Return the function in LLVM's language: (sums, weights of a vector's lanes in pairs, one pair) → sums."""
    lanes = target.lanes()
    text = _HEAD + (_NATIVE if target.bf16 else _PORTABLE)
    return text.format(name=_FUNCTION, lanes=lanes, numbers=lanes * PAIR, bits=target.vector_bits)


def call_sums(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Replace the marked loops of a kernel by calls of the function that it imports."""

    def replaced(loop: tirx.For) -> tirx.Stmt:
        return _call(loop) if _SUMMED in loop.annotations else loop

    return tvm_ffi.structural_map(function, (tirx.For, replaced))


def _call(pair: tirx.For) -> tirx.Stmt:
    """Return the block in the two loops without them: sums[…, lane] += value[…, pair] · weights[…, lane, pair]."""
    lane, realize = pair.body, pair.body.body
    lanes, store = int(lane.extent), realize.block.body
    axes = list(zip(realize.block.iter_vars, realize.iter_values, strict=True))
    kept = [axis for axis in axes if not any(axis[1].same_as(loop.loop_var) for loop in (pair, lane))]
    (pair_axis,) = (axis.var for axis, at in axes if at.same_as(pair.loop_var))
    value, weights = _factors(store)
    read = (
        _Vector(store.buffer, store.indices[:-1], [(0, lanes)]),
        _Vector(weights.source, weights.indices[:-2], [(0, lanes), (0, PAIR)]),
        _Vector(value.source, value.indices[:-1], [(_without(value.indices[-1], pair_axis), PAIR)]),
    )
    sums, *factors = (each.load() for each in read)
    total = tirx.call_pure_extern(sums.ty.dtype, _FUNCTION, sums, factors[0], tirx.reinterpret("int32", factors[1]))
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
    value, weights = (load for load in loads if load.source.dtype == STORED)
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
