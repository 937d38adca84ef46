"""Chains of additions and subtractions of constants, read as y = ±x + c.

    x + c = +x + c     x - c = +x + (-c)     c - x = -x + c     -x = -x + 0

Two steps are one:  s₂·(s₁·x + c₁) + c₂ = (s₂·s₁)·x + (s₂·c₁ + c₂),  with a constant of the shape to which both
broadcast. Integers wrap, which is exact. Floating-point constants are added in float64 and rounded once; one
that is so large that x loses its digits to it (x + 2²³ - 2²³ rounds x) is there for that, and refused.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Refused, Rule, const, either, op, var
from graphopt.rewrite.pattern import Either, Op, Pattern
from graphopt.tensors import Array
from passes.simplify_algebra.values import FLOATS, holds_floats


def _by_constant(x: Pattern, name: str) -> Either:
    c = const(f"{name}.c")
    return either(op.Add(c, x, name=name), op.Sub(x, c, name=name), op.Sub(c, x, name=name))


class ShiftTwice(Rule):
    """(x + a) + b = x + (a + b), a - (x + b) = (a - b) - x, -(x + a) = -a - x and their kin."""

    pattern: ClassVar[Either] = either(
        _by_constant(_by_constant(var("x"), "first"), "second"),
        op.Neg(_by_constant(var("x"), "first"), name="second"),
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse constants that are meant to round."""
        dtype = match.dtype("first.c")
        limit = FLOATS[dtype].first_whole if dtype in FLOATS else np.inf
        magnitudes = {name: np.abs(c.astype(np.float64)) for name, c in _constants(match).items()}
        large = next((name for name, c in magnitudes.items() if bool((c >= limit).any())), None)
        return f"{match[large].name!r} is so large that adding it rounds" if large else None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Do both at once: a sum, or a difference from a constant."""
        (first_sign, first), (sign, second) = _step(match, "first"), _step(match, "second")
        shift = np.add(np.negative(first) if sign < 0 else first, second)
        if shift.size > max(c.size for c in _constants(match).values()):
            raise Refused("the new shift would be larger than those it is made of")
        dtype = match.dtype("first.c")
        constant = build.constant("shift", shift, dtype if dtype in FLOATS else None)
        if first_sign * sign < 0:
            return build.op("Sub", constant, match["x"])
        return build.op("Add", match["x"], constant)


class SubtractConstant(Rule):
    """x - c = x + (-c), so that later rules need to know additions only; floating point."""

    stage: ClassVar[int] = 1
    pattern: ClassVar[Op] = op.Sub(var("x"), const("c", holds_floats))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Add the opposite."""
        return build.op("Add", match["x"], build.constant("shift", np.negative(match.constant("c")), match.dtype("c")))


def _constants(match: Match) -> dict[str, Array]:
    return {name: match.constant(name) for name in ("first.c", "second.c") if name in match}


def _step(match: Match, name: str) -> tuple[int, Array]:
    """Return the sign of x and the shift, in float64 or in the type of the integers."""
    dtype = match.dtype("first.c")
    work = np.float64 if dtype in FLOATS else dtype.numpy()
    node = match.node(name)
    if node.op_type == "Neg":
        return -1, np.zeros((), work)
    c = match.constant(f"{name}.c").astype(work)
    if node.op_type == "Add":
        return 1, c
    return (1, np.negative(c)) if match[f"{name}.c"] is node.inputs[1] else (-1, c)
