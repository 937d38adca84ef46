"""Chains of multiplications and divisions by constants, read as y = (p/q) · x^e with e = 1 or -1.

    x · c = (c/1)·x     x / c = (1/c)·x     c / x = (c/1)·x⁻¹     -x = (-1/1)·x     1/x = (1/1)·x⁻¹

Two steps are one:  (p₂/q₂)·((p₁/q₁)·x^e₁)^e₂ = (p₂·p₁^e₂ / q₂·q₁^e₂)·x^(e₁·e₂),  with constants of the shape to which
p₁ and p₂ broadcast. Their arithmetic is in float64 and rounded once, so the last digit may differ; and where
the value in between over- or underflowed, the result no longer does. Integers multiply modulo 2ⁿ, which is
exact, and do not divide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Refused, Rule, const, either, op, var
from graphopt.rewrite.pattern import Either, Op, Pattern
from graphopt.tensors import Array
from passes.simplify_algebra.values import FLOATS, holds_floats


def _by_constant(x: Pattern, name: str) -> Either:
    c = const(f"{name}.c")
    return either(op.Mul(c, x, name=name), op.Div(x, c, name=name), op.Div(c, x, name=name))


def _scaled(x: Pattern, name: str) -> Either:
    c = const(f"{name}.c")
    return either(op.Mul(c, x, name=name), op.Div(x, c, name=name))


def _bare(x: Pattern, name: str) -> Op:
    return op("Neg", "Reciprocal")(x, name=name)


def _are_powers_of_two(array: Array) -> bool:
    if not holds_floats(array):
        return False
    mantissas, _ = np.frexp(array.astype(np.float64))
    return bool((np.abs(mantissas) == 0.5).all())


class Power(NamedTuple):
    """y = (p/q) · x^exponent; p and q broadcast together."""

    p: Array
    q: Array
    exponent: int = 1

    def after(self, first: Power) -> Power:
        """Return the map that does `first` and then this one."""
        p, q = (first.p, first.q) if self.exponent > 0 else (first.q, first.p)
        return Power(np.multiply(self.p, p), np.multiply(self.q, q), self.exponent * first.exponent)


class ScaleTwice(Rule):
    """(x·a)·b = x·(a·b), (x/a)/b = x/(a·b), (a/x)·b = (a·b)/x, -(x·a) = x·(-a), 1/(x·a) = (1/a)/x and their kin."""

    pattern: ClassVar[Either] = either(
        _by_constant(either(_by_constant(var("x"), "first"), _bare(var("x"), "first")), "second"),
        _bare(_by_constant(var("x"), "first"), "second"),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse to divide integers."""
        divides = {match.node("first").op_type, match.node("second").op_type} & {"Div", "Reciprocal"}
        return "its numbers are integers, whose divisions round" if divides and _dtype(match) not in FLOATS else None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Do both at once: a division where both were, else a product, or a quotient by x."""
        dtype = _dtype(match)
        whole = _step(match, "second", dtype).after(_step(match, "first", dtype))
        if whole.exponent < 0:
            return build.op("Div", _scale(match, build, np.divide(whole.p, whole.q)), match["x"])
        if dtype in FLOATS and bool((np.abs(whole.p) == 1).all()) and not bool((whole.q == 1).all()):
            return build.op("Div", match["x"], _scale(match, build, np.multiply(whole.p, whole.q)))
        quotient = np.divide(whole.p, whole.q) if dtype in FLOATS else whole.p
        return build.op("Mul", match["x"], _scale(match, build, quotient))


class DivideByPowerOfTwo(Rule):
    """x / c = x · (1/c) where c is a power of two, whose inverse is exact."""

    pattern: ClassVar[Op] = op.Div(var("x"), const("c", _are_powers_of_two))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Multiply by the inverse."""
        c, dtype = match.constant("c").astype(np.float64), match.dtype("c")
        return build.op("Mul", match["x"], build.constant("scale", _representable(1 / c, dtype), dtype))


class MultiplyByReciprocal(Rule):
    """x · (1/y) = x / y, rounded once and not twice."""

    pattern: ClassVar[Op] = op.Mul(op.Reciprocal(var("y")), var("x"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Divide."""
        return build.op("Div", match["x"], match["y"])


class DivideByReciprocal(Rule):
    """x / (1/y) = x · y, rounded once and not twice."""

    pattern: ClassVar[Op] = op.Div(var("x"), op.Reciprocal(var("y")))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Multiply."""
        return build.op("Mul", match["x"], match["y"])


class ScaleShiftScale(Rule):
    """(x·a + b)·c = x·(a·c) + b·c, and so for divisions.

    Relative to the result no error grows, as it would in (x + a)·b + c, where the sum may cancel.
    """

    stage: ClassVar[int] = 1
    pattern: ClassVar[Either] = _scaled(op.Add(const("b", holds_floats), _scaled(var("x"), "first")), "second")

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Scale once, then shift."""
        dtype, b = match.dtype("b"), match.constant("b").astype(np.float64)
        first, second = _step(match, "first", dtype), _step(match, "second", dtype)
        both = second.after(first)
        scale = _scale(match, build, np.divide(both.p, both.q))
        shift = _merged(build, "shift", np.multiply(b, np.divide(second.p, second.q)), dtype, [b, second.p, second.q])
        product = build.op("Mul", match["x"], scale)
        product.dtype = dtype
        return build.op("Add", product, shift)


def _dtype(match: Match) -> ir.DataType:
    return match.dtype("first.c" if "first.c" in match else "second.c")


def _step(match: Match, name: str, dtype: ir.DataType) -> Power:
    node = match.node(name)
    work = np.float64 if dtype in FLOATS else dtype.numpy()
    one = np.ones((), work)
    if node.op_type == "Neg":
        return Power(np.negative(one), one)
    if node.op_type == "Reciprocal":
        return Power(one, one, -1)
    c = match.constant(f"{name}.c").astype(work)
    if node.op_type == "Mul":
        return Power(c, one)
    return Power(one, c) if match[f"{name}.c"] is node.inputs[1] else Power(c, one, -1)


def _scale(match: Match, build: Builder, array: Array) -> ir.Value:
    given = [match.constant(name) for name in ("first.c", "second.c") if name in match]
    return _merged(build, "scale", array, _dtype(match), given)


def _merged(build: Builder, name: str, array: Array, dtype: ir.DataType, given: Sequence[Array]) -> ir.Value:
    if array.size > max(one.size for one in given):
        raise Refused(f"the new {name} would be larger than those it is made of")
    if dtype not in FLOATS:
        return build.constant(name, array)
    return build.constant(name, _representable(array, dtype), dtype)


def _representable(array: Array, dtype: ir.DataType) -> Array:
    magnitudes = np.abs(array.astype(np.float64))
    if bool(((magnitudes < FLOATS[dtype].smallest_normal) & (magnitudes > 0)).any()):
        raise Refused(f"the new scale would lose digits in {dtype.name.lower()}")
    return array
