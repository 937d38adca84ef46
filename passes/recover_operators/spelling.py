"""The ways in which exporters spell numbers, affine maps, bounds and products.

A number is a constant of one element within two units in the last place of its own type: exporters print
1/6 as 0.1666667, √(2/π) as 0.7978846. Where a rule folds numbers into an attribute it works in float64.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.rewrite import Match, Rule, const, either, op, var
from graphopt.rewrite.pattern import Const, Either, Pattern, Var
from graphopt.tensors import Array

_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16})
"""The types for which onnxruntime has a kernel of every operator that we write (float64 lacks most)."""

_UNITS = 2


def real(name: str = "x") -> Var:
    """Match a value of float32 or float16."""
    return var(name, lambda value: value.dtype in _FLOATS)


def number(name: str) -> Const:
    """Match any finite constant of one element."""
    return const(name, lambda array: _is_number(array) and bool(np.isfinite(array).all()))


def about(wanted: float) -> Const:
    """Match a constant of one element that equals `wanted` to within two units in the last place."""
    return const("", lambda array: _is_number(array) and near(float(array.reshape(())), wanted, _eps(array)))


def near(found: float, wanted: float, eps: float = float(np.finfo(np.float32).eps)) -> bool:
    """Whether two numbers are equal to within two units in the last place, relative to 1, of a float type."""
    return math.isclose(found, wanted, rel_tol=_UNITS * eps)


def times(x: Pattern, factor: float) -> Either:
    """Match x·c or x/(1/c)."""
    return either(op.Mul(x, about(factor)), op.Div(x, about(1 / factor)))


def plus(x: Pattern, shift: float) -> Either:
    """Match x + c or x - (-c)."""
    return either(op("Add", "Sum")(x, about(shift)), op.Sub(x, about(-shift)))


def negated(x: Pattern) -> Either:
    """Match -x."""
    return either(op.Neg(x), times(x, -1))


def reciprocal(x: Pattern) -> Either:
    """Match 1/x."""
    return either(op.Reciprocal(x), op.Div(about(1), x))


def square(x: Pattern) -> Either:
    """Match x²."""
    return either(op.Mul(x, x), op.Pow(x, about(2)))


def bounded(x: Pattern, high: float) -> Either:
    """Match min(max(x, 0), high) as Clip, Relu6, Min and Max."""
    zero, top = about(0), about(high)
    return either(
        op.Clip(x, zero, top),
        op.Clip(x, min=0.0, max=high),  # up to opset 10
        op.Min(either(op.Relu(x), op.Max(x, zero), op.Clip(x, zero)), top),
        op.Max(op.Min(x, top), zero),
        op.Relu(op.Min(x, top)),
    )


def half_product(x: Pattern, factor: Pattern) -> Either:
    """Match ½·x·factor in every order of multiplication."""
    return either(
        times(op.Mul(x, factor), 0.5),
        op.Mul(times(x, 0.5), factor),
        op.Mul(x, times(factor, 0.5)),
    )


def below_zero(x: Pattern, negative: Pattern, positive: Pattern) -> Either:
    """Match `negative` where x < 0 and `positive` elsewhere; both are 0 at 0, so that it may go either way."""
    zero = about(0)
    less = either(op("Less", "LessOrEqual")(x, zero), op("Greater", "GreaterOrEqual")(zero, x))
    greater = either(op("Greater", "GreaterOrEqual")(x, zero), op("Less", "LessOrEqual")(zero, x))
    return either(op.Where(less, negative, positive), op.Where(greater, positive, negative))


def value_of(match: Match, name: str) -> float:
    """Return a matched number."""
    return float(match.constant(name).reshape(()))


class Recovery(Rule):
    """A function of the value `x` alone, element by element, with the shape of x."""

    def refuse(self, match: Match) -> str | None:
        """Refuse numbers like [[3.0]], which may have a higher rank than x and raise the result's."""
        return refuse_widening(match)


def refuse_widening(match: Match) -> str | None:
    """Return why a number of the match may widen x."""
    numbers = [value for node in match.nodes for value in node.inputs if _rank_of_number(value)]
    widest = max(map(_rank_of_number, numbers), default=0)
    shape = match["x"].shape
    if widest == 0 or (shape is not None and len(shape) >= widest):
        return None
    return f"{match['x'].name!r} may have fewer dimensions than its constants, of {widest}"


def _rank_of_number(value: ir.Value | None) -> int:
    array = constant(value)
    return array.ndim if array is not None and _is_number(array) else 0


def _is_number(array: Array) -> bool:
    return array.size == 1 and array.dtype.kind == "f"


def _eps(array: Array) -> float:
    return float(np.finfo(array.dtype.name).eps)
