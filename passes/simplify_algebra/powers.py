"""Powers with constant exponents.

x·x is what a correctly rounded power gives. The root and the inverse may differ in the last digit. The root is
taken of what is not negative only: pow(-∞, 0.5) is +∞ (IEEE 754, 9.2.1), the root of -∞ is NaN.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dims import broadcasts_into
from graphopt.rewrite import Builder, Match, Rule, const, op, var
from graphopt.rewrite.pattern import Op
from passes.simplify_algebra.values import is_float, is_non_negative

_OPERATORS = {2.0: "Mul", 0.5: "Sqrt", -1.0: "Reciprocal"}


class SmallPower(Rule):
    """x² = x·x, x⁻¹ = 1/x and, for x ≥ 0, x^½ = √x; in floating point, where the exponent does not widen x."""

    pattern: ClassVar[Op] = op.Pow(
        var("x", is_float), const("exponent", lambda array: array.size == 1 and float(array.item()) in _OPERATORS)
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse a root of what may be -∞, and an exponent that may give the result another shape."""
        exponent, x = match["exponent"], match["x"]
        if _operator(match) == "Sqrt" and not is_non_negative(x):
            return f"{x.name!r} may be -∞, whose power is +∞ and whose root is NaN"
        return None if broadcasts_into(exponent, x) else f"{exponent.name!r} may broadcast {x.name!r} to another shape"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Use the operator made for it."""
        op_type, x = _operator(match), match["x"]
        return build.op(op_type, x, x) if op_type == "Mul" else build.op(op_type, x)


def _operator(match: Match) -> str:
    return _OPERATORS[float(match.constant("exponent").item())]
