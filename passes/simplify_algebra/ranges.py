"""Within which numbers a value lies on every run, as its producers and their weights prove.

Interval arithmetic (R. Moore: Interval analysis, 1966) from the operators that bound what they make, through those that
move it, select of it, or sum it with constants. NaN lies nowhere and passes all rules here. A sum of products in
floating point may round beyond the exact bound, at most by the unit of rounding of each of its terms (N. Higham:
Accuracy and stability of numerical algorithms, 2002, section 3.1), in any order: bounds are widened by twice that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.traits import has_references, is_standard
from graphopt.tensors import Array
from passes.simplify_algebra.interval import EVERYTHING, Interval
from passes.simplify_algebra.values import FLOATS, is_float, source

DEPTH = 4
"""Producers that are looked through: a bound that is further away is hardly ever the tighter one."""

_ROOM = 1 + 2**-8
"""What a mean of up to 2¹⁵ numbers of 24 bits may be larger than the largest of them by rounding."""


def range_of(value: ir.Value, depth: int = DEPTH) -> Interval:
    """Return an interval that no element of a floating-point value leaves, unless it is NaN."""
    array = constant(value)
    if array is not None:
        return _of_numbers(array)
    node = value.producer()
    if node is None or not depth or not is_float(value) or value.index() or has_references(node):
        return EVERYTHING
    rule = _RULES.get(node.op_type) if is_standard(node) else None
    return EVERYTHING if rule is None else rule(node, depth - 1)


_Rule = Callable[[ir.Node, int], Interval]


def _always(low: float, high: float) -> _Rule:
    return lambda node, depth: Interval(low, high)  # noqa: ARG005


def _kept(node: ir.Node, depth: int) -> Interval:
    """Return the range of the first input, of which elements are taken."""
    return range_of(source(node.outputs[0]), depth)


def _mean(node: ir.Node, depth: int) -> Interval:
    """Return the range of means: the sign stays, and in float32 the size but for the rounding of the sum."""
    low, high = _kept(node, depth)
    room = _ROOM if node.outputs[0].dtype in {ir.DataType.FLOAT, ir.DataType.DOUBLE} else math.inf
    return Interval(min(low * room, low) if low else low, max(high * room, high) if high else high)


def _padded_mean(node: ir.Node, depth: int) -> Interval:
    """Return the range of means of elements, and of zeros beyond the border."""
    return _mean(node, depth).joined(Interval(0, 0))


def _with_zero(node: ir.Node, depth: int) -> Interval:
    """Return the range of the first input and of zeros beyond its border."""
    return _kept(node, depth).joined(Interval(0, 0))


def _relu(node: ir.Node, depth: int) -> Interval:
    return Interval(0, math.inf).within(_kept(node, depth))


def _clip(node: ir.Node, depth: int) -> Interval:
    bounds = [range_of(value, 0) if value is not None else EVERYTHING for value in node.inputs[1:3]]
    low = bounds[0].low if bounds else node.attributes.get_float("min", -math.inf)
    high = bounds[1].high if len(bounds) > 1 else node.attributes.get_float("max", math.inf)
    bounds_alone = Interval(min(low, high), high)
    return bounds_alone if bounds_alone.is_finite else bounds_alone.within(_kept(node, depth))


def _hard_swish(node: ir.Node, depth: int) -> Interval:
    """Return the range of x · max(0, min(1, x/6 + 1/2)): least at -3/2, no larger than x above."""
    return Interval(-0.376, max(_kept(node, depth).high, 0.0))


def _greatest(node: ir.Node, depth: int) -> Interval:
    ranges = [range_of(value, depth) for value in node.inputs if value is not None]
    return Interval(max(one.low for one in ranges), max(one.high for one in ranges))


def _least(node: ir.Node, depth: int) -> Interval:
    ranges = [range_of(value, depth) for value in node.inputs if value is not None]
    return Interval(min(one.low for one in ranges), min(one.high for one in ranges))


def _any(node: ir.Node, depth: int) -> Interval:
    ranges = [range_of(value, depth) for value in node.inputs if value is not None]
    return Interval(min(one.low for one in ranges), max(one.high for one in ranges))


def _sum(node: ir.Node, depth: int) -> Interval:
    """Return the range of a sum of two, which rounds no further than the sums of their bounds do."""
    first, second = (range_of(value, depth) if value is not None else EVERYTHING for value in node.inputs)
    low, high = first.low + second.low, first.high + second.high
    positive = min(first.low, second.low) >= 0
    return Interval(
        _widened(node, Interval(low, low), terms=2, positive=positive).low,
        _widened(node, Interval(high, high), terms=2, positive=positive).high,
    )


def _product(node: ir.Node, depth: int) -> Interval:
    first, second = (range_of(value, depth) if value is not None else EVERYTHING for value in node.inputs)
    if not (first.is_finite and second.is_finite):
        return Interval(0, math.inf) if min(first.low, second.low) >= 0 else EVERYTHING
    corners = [one * other for one in first for other in second]
    return _widened(node, Interval(min(corners), max(corners)), terms=2, positive=min(first.low, second.low) >= 0)


def _conv(node: ir.Node, depth: int) -> Interval:
    """Return the range of sums over the window of what is read, and of zeros beyond the border; and a bias."""
    weight = constant(node.inputs[1])
    read = _with_zero(node, depth)
    return EVERYTHING if weight is None else _weighted(node, weight.reshape(len(weight), -1), read)


def _gemm(node: ir.Node, depth: int) -> Interval:
    weight = constant(node.inputs[1])
    scales = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    if weight is None or weight.ndim != 2 or scales != (1.0, 1.0):
        return EVERYTHING
    return _weighted(node, weight if node.attributes.get_int("transB", 0) else weight.T, _kept(node, depth))


def _weighted(node: ir.Node, rows: Array, read: Interval) -> Interval:
    """Return the range of rows [outputs, columns] · x + bias for x within an interval."""
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1)
    if bias is None or bias.size not in (1, len(rows)) or not rows.size or read == EVERYTHING:
        return EVERYTHING
    positive = bool(read.low >= 0 and rows.min() >= 0 and bias.min() >= 0)
    if not read.is_finite:
        return Interval(0, math.inf) if positive else EVERYTHING
    weight = rows.astype(np.float64)
    up, down = np.maximum(weight, 0).sum(axis=1), np.minimum(weight, 0).sum(axis=1)
    shift = bias.astype(np.float64).reshape(-1)
    low = up * read.low + down * read.high + shift
    high = up * read.high + down * read.low + shift
    size = (up - down) * max(abs(read.low), abs(read.high)) + np.abs(shift)
    return _widened(
        node,
        Interval(float(low.min()), float(high.max())),
        terms=rows.shape[1] + 1,
        positive=positive,
        size=float(size.max()),
    )


def _widened(node: ir.Node, sums: Interval, *, terms: int, positive: bool, size: float | None = None) -> Interval:
    """Return the range of a sum of so many terms with room for its rounding; that of positive terms is positive.

    `size` is the sum of the magnitudes of the terms at most, by default that of the sum.
    """
    dtype = node.outputs[0].dtype
    if dtype is None or any(map(math.isnan, sums)) or math.isnan(size or 0.0):
        return EVERYTHING
    kind, size = FLOATS[dtype], max(map(abs, sums)) if size is None else size
    if size > math.ldexp(1.0, (1 << kind.exponent - 1) - 1):
        return Interval(0, math.inf) if positive else EVERYTHING  # what is summed on the way may overflow
    room = terms * math.ldexp(size, -kind.mantissa)
    return Interval(max(sums.low - room, 0) if positive else sums.low - room, sums.high + room)


def _of_numbers(array: Array) -> Interval:
    if not array.size or array.dtype.kind in "OSU":
        return EVERYTHING
    numbers = array.astype(np.float64)
    return Interval(float(numbers.min()), float(numbers.max())) if np.isfinite(numbers).all() else EVERYTHING


_RULES: Mapping[str, _Rule] = {
    "Relu": _relu,
    "Clip": _clip,
    "HardSwish": _hard_swish,
    "Max": _greatest,
    "Min": _least,
    "Concat": _any,
    "Add": _sum,
    "Mul": _product,
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _gemm,
    "AveragePool": _padded_mean,
    **dict.fromkeys(("GlobalAveragePool", "ReduceMean"), _mean),
    **dict.fromkeys(("HardSigmoid", "Sigmoid", "Softmax"), _always(0, 1)),
    **dict.fromkeys(("Cos", "Erf", "Sign", "Sin", "Softsign", "Tanh"), _always(-1, 1)),
    **dict.fromkeys(("Abs", "Exp", "ReduceL1", "ReduceL2", "Softplus", "Sqrt"), _always(0, math.inf)),
    **dict.fromkeys(
        (
            *("DepthToSpace", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity", "MaxPool"),
            *("ReduceMax", "ReduceMin", "Reshape", "Slice", "SpaceToDepth", "Squeeze", "Tile"),
            *("Transpose", "Unsqueeze"),
        ),
        _kept,
    ),
}
