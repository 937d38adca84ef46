"""Values held as integers: what these stand for, and the way between them and real numbers.

A value of real numbers r may be stored as integers q, its element type being float all the same:

    r = clip((q - zero_point) · scale, low, high)

The bounds are those of a Relu or Clip that was not computed: who makes integers of r again bounds these instead, which
it does anyway. A value of integers may be stored as others, too: int8 as uint8, 128 more each, which is what processors
multiply (`byte_of`); the scale is 1 then.

Quantizing rounds to nearest, ties to even, as processors do where they convert numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from tvm import te, tirx

from graphopt.backends.tvm.lower.layout import Layout, pack_array
from graphopt.reciprocal import reciprocal
from graphopt.targets import Target
from graphopt.tensors import Array

BYTES = frozenset({"int8", "uint8"})
_MOST_PROVED = 255
"""Whole numbers up to which it is worth asking for a reciprocal: of 16 bits hardly a scale has one."""


@dataclass(frozen=True, eq=False)
class Affine:
    """What integers stand for.

    Attributes:
        scale: float32, [] or one a channel.
        zero_point: the integer that stands for 0.
        axis: that of the channels, of the value as ONNX has it.
        low, high: between which real numbers are to be brought.

    """

    scale: Array
    zero_point: int = 0
    axis: int = 1
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_unbounded(self) -> bool:
        """Whether there is no bound."""
        return self.low == -math.inf and self.high == math.inf

    @property
    def is_plain(self) -> bool:
        """Whether there is one scale, and no bound."""
        return self.scale.ndim == 0 and self.is_unbounded

    def is_same(self, other: Affine | None) -> bool:
        """Whether equal integers stand for equal numbers."""
        return (
            other is not None
            and np.array_equal(self.scale, other.scale)
            and (self.zero_point, self.low, self.high) == (other.zero_point, other.low, other.high)
            and (self.axis == other.axis or self.scale.ndim == 0)
        )

    def bounded(self, low: float, high: float) -> Affine:
        """Return what the same integers stand for behind a Clip."""
        return replace(self, low=max(low, min(self.low, high)), high=min(high, max(self.high, low)))

    def shifted(self, offset: int) -> Affine:
        """Return what integers stand for that are larger by an offset."""
        return replace(self, zero_point=self.zero_point + offset)


UNIT = np.asarray(1.0, np.float32)
"""The scale of integers that stand for integers."""


def byte_of(target: Target) -> str:
    """Return the dtype in which a target multiplies 8 bits with int8."""
    return "int8" if target.signed_dot else "uint8"


def offset_to(byte: str, dtype: str) -> int:
    """Return what is added to numbers of one dtype of 8 bits so that they fit the other."""
    return int(np.iinfo(byte).min) - int(np.iinfo(dtype).min)


def spread(parameter: Array, axis: int, rank: int, layout: Layout) -> Array:
    """Bring a parameter of the channels to where it broadcasts over a value in a layout; padding lanes hold 1."""
    column = parameter.reshape([-1 if index == axis else 1 for index in range(rank)])
    return pack_array(column, layout, 1) if layout.is_blocked else column


def te_shift(source: te.Tensor, byte: str) -> te.Tensor:
    """Compute the other dtype of 8 bits, by the offset between them: the highest bit changes."""
    flipped = tirx.const(0x80, "uint8")

    def element(*place: tirx.Var) -> tirx.Expr:
        return tirx.reinterpret(byte, tirx.bitwise_xor(tirx.reinterpret("uint8", source(*place)), flipped))

    return te.compute(source.shape, element, name="shift")


def te_dequantize(source: te.Tensor, scale: te.Tensor | float, affine: Affine, dtype: str) -> te.Tensor:
    """Compute what integers stand for; a product is rounded before anything is added to it, as ONNX has it."""

    def element(*place: tirx.Var) -> tirx.Expr:
        centred = source(*place).astype("int32") - affine.zero_point
        if dtype != "float32":
            return centred.astype(dtype)
        product = centred.astype("float32") * _at(scale, place)
        real = tirx.call_llvm_pure_intrin("float32", "llvm.arithmetic.fence", product)
        return real if affine.is_unbounded else _clip(real, affine.low, affine.high)

    return te.compute(source.shape, element, name="dequantize")


@dataclass(frozen=True)
class Grid:
    """The integers of a QuantizeLinear.

    Attributes:
        zero_point: added to rounded numbers.
        low, high: between which the sums are brought.
        offset: added then.
        dtype: in which they are stored.

    """

    zero_point: int
    low: int
    high: int
    offset: int
    dtype: str

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest whole number before the zero point is added."""
        return float(self.low - self.zero_point), float(self.high - self.zero_point)

    @property
    def most(self) -> int:
        """Return the largest magnitude of those."""
        return int(max(map(abs, self.limits)))

    def element(self, whole: tirx.Expr) -> tirx.Expr:
        """Return the integer of a number that is yet to be rounded, and that int32 holds.

        Processors saturate while they narrow.
        """
        shift = self.zero_point + self.offset
        integer = tirx.call_llvm_pure_intrin("int32", "llvm.lrint", whole) + tirx.const(shift, "int32")
        low, high = (tirx.const(limit + self.offset, "int32") for limit in (self.low, self.high))
        return tirx.max(tirx.min(integer, high), low).astype(self.dtype)


def te_quantize(source: te.Tensor, scale: float, grid: Grid, *, fused: bool) -> te.Tensor:
    """Compute saturate(round(x / scale) + zero_point) of float32 (ONNX operator spec, QuantizeLinear-21).

    `fused` says that the target multiplies and adds with one rounding, and so divides faster by `_quotient`. Where
    multiplying with a number does the same, it is faster still.
    """
    low, high = (float(np.float32(limit) * np.float32(scale)) for limit in grid.limits)
    factor = reciprocal(scale, grid.most) if grid.most <= _MOST_PROVED else None
    divide = _quotient if fused else tirx.div

    def element(*place: tirx.Var) -> tirx.Expr:
        real = _clip(source(*place), low, high)
        return grid.element(divide(real, _float(scale)) if factor is None else real * _float(factor))

    return te.compute(source.shape, element, name="quantize")


def te_requantize(
    source: te.Tensor, ratio: te.Tensor | float, zero_point: int, grid: Grid, *, shrinks: bool
) -> te.Tensor:
    """Compute saturate(round(float(q - zero_point) · ratio) + zero_point') of integers (QLinearConv-10).

    `shrinks` says that all ratios are less than 1: the products are numbers that int32 holds, too.
    """

    def element(*place: tirx.Var) -> tirx.Expr:
        centred = source(*place).astype("int32") - zero_point
        product = centred.astype("float32") * _at(ratio, place)
        return grid.element(product if shrinks else _clip(product, *grid.limits))

    return te.compute(source.shape, element, name="requantize")


def _quotient(dividend: tirx.Expr, divisor: tirx.Expr) -> tirx.Expr:
    """Divide by a constant, rounded as division is, in a quarter of its time.

    Source: P. W. Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", IBM Journal of
    Research and Development 34(1), 1990: where y is 1 / b, rounded to nearest, and q is off a / b by less than its last
    digit, q + (a - b q) y is a / b, rounded to nearest. A first such step makes q good enough from a y.
    """
    inverse = _float(float(np.float32(1) / np.float32(divisor.value)))

    def step(quotient: tirx.Expr) -> tirx.Expr:
        return _fma(_fma(-quotient, divisor, dividend), inverse, quotient)

    return step(step(dividend * inverse))


def _fma(left: tirx.Expr, right: tirx.Expr, addend: tirx.Expr) -> tirx.Expr:
    return tirx.call_llvm_pure_intrin("float32", "llvm.fma", left, right, addend)


def _clip(value: tirx.Expr, low: float, high: float) -> tirx.Expr:
    return tirx.max(tirx.min(value, _float(high)), _float(low))


def _at(parameter: te.Tensor | float, place: tuple[tirx.Var, ...]) -> tirx.Expr:
    """Return the parameter of a place, over which it broadcasts."""
    if not isinstance(parameter, te.Tensor):
        return _float(parameter)
    indices = [0 if int(extent) == 1 else index for extent, index in zip(parameter.shape, place, strict=True)]
    return parameter(*indices)


def _float(value: float) -> tirx.Expr:
    return tirx.const(value, "float32")
