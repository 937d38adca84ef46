"""Powers with constant exponents.

x·x is what a correctly rounded power gives. The root and the inverse may differ in the last digit, and at one
number: pow(-∞, 0.5) is +∞ (IEEE 754, 9.2.1), the root of -∞ is NaN.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, op, var
from graphopt.rewrite.pattern import Op
from passes.simplify_algebra.values import broadcasts_into, is_float

_OPERATORS = {2.0: "Mul", 0.5: "Sqrt", -1.0: "Reciprocal"}


class SmallPower(Rule):
    """x² = x·x, x^½ = √x and x⁻¹ = 1/x, in floating point and where the exponent does not widen x."""

    pattern: ClassVar[Op] = op.Pow(
        var("x", is_float), const("exponent", lambda array: array.size == 1 and float(array.item()) in _OPERATORS)
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse an exponent that may give the result another shape."""
        exponent, x = match["exponent"], match["x"]
        return None if broadcasts_into(exponent, x) else f"{exponent.name!r} may broadcast {x.name!r} to another shape"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Use the operator made for it."""
        op_type, x = _OPERATORS[float(match.constant("exponent").item())], match["x"]
        return build.op(op_type, x, x) if op_type == "Mul" else build.op(op_type, x)
