"""A scale and a shift: what arithmetic with a constant is, and what linear operators can take into theirs.

All arithmetic is in float64; rounding happens once, when the result becomes a constant again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.rewrite.builder import Builder
from graphopt.rewrite.matcher import Match
from graphopt.rewrite.pattern import Either, Pattern, const, either, op

Float64 = npt.NDArray[np.float64]


class Affine(NamedTuple):
    """y = scale·x + shift; both float64, of one shape that broadcasts to x."""

    scale: Float64
    shift: Float64

    def after(self, first: Affine) -> Affine:
        """Return the map that does `first` and then this one."""
        return Affine(self.scale * first.scale, self.scale * first.shift + self.shift)


def step(x: Pattern) -> Either:
    """Match x·c, x + c, x - c, x / c, c - x or -x, the node bound to "step" and c to "operand"."""
    return either(
        op("Mul", "Add", "Sub", "Div")(x, const("operand"), name="step"),
        op.Sub(const("operand"), x, name="step"),
        op.Neg(x, name="step"),
    )


def operand_of(match: Match) -> Float64:
    """Return the constant of a matched step; a negation multiplies by -1."""
    return real(match, "operand") if "operand" in match else np.array(-1.0)


def operand_name(match: Match) -> str:
    """Return how to call the constant of a matched step."""
    return f"{match['operand'].name!r}" if "operand" in match else "-1"


def step_map(match: Match, operand: Float64) -> Affine:
    """Return the map of a matched step, with its operand in the shape that is wanted."""
    one, zero, node = np.ones_like(operand), np.zeros_like(operand), match.node("step")
    if node.op_type == "Sub" and node.inputs[0] is match["operand"]:
        return Affine(-one, operand)
    maps = {
        "Neg": Affine(operand, zero),
        "Mul": Affine(operand, zero),
        "Add": Affine(one, operand),
        "Sub": Affine(one, -operand),
        "Div": Affine(1 / operand, zero),
    }
    return maps[node.op_type]


def real(match: Match, name: str) -> Float64:
    """Return a matched constant as float64."""
    return match.constant(name).astype(np.float64)


def along(vector: Float64, axis: int, rank: int) -> Float64:
    """Shape a vector [n] so that it broadcasts along one axis of a tensor: [1, …, n, …, 1]."""
    return vector.reshape([vector.size if index == axis else 1 for index in range(rank)])


def add(build: Builder, value: ir.Value, shift: Float64, dtype: ir.DataType) -> ir.Value:
    """Build value + shift, or nothing where the shift is zero."""
    return build.op("Add", value, build.constant("bias", shift, dtype)) if shift.any() else value


def rank(*values: ir.Value) -> int | None:
    """Return the rank of values of equal shape, as soon as one of them knows it."""
    return next((value.shape.rank() for value in values if value.shape is not None), None)
