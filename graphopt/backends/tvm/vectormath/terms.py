"""What formulas are written with: constants, polynomials, names, and the bits of a float."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import tirx

Let = Callable[[tirx.Expr], tirx.Expr]
"""Computes an expression once: returns a variable that stands for it. TVM cannot bind truth values so."""
SIGN = -0x80000000
"""The sign of a float, as the bits of an int32."""
MANTISSA_BITS = 23


class Bindings:
    """The names of one formula, in order of definition."""

    def __init__(self) -> None:
        self._values: list[tuple[tirx.Var, tirx.Expr]] = []

    def let(self, value: tirx.Expr) -> tirx.Expr:
        """Return a variable that stands for a value."""
        variable = tirx.Var(f"t{len(self._values)}", value.ty)
        self._values.append((variable, value))
        return variable

    def around(self, result: tirx.Expr) -> tirx.Expr:
        """Return a result with everything that it names."""
        for variable, value in reversed(self._values):
            result = tirx.Let(variable, value, result)
        return result


def const(number: float) -> tirx.Expr:
    """Return a float32."""
    return tirx.const(number, "float32")


def whole(number: int) -> tirx.Expr:
    """Return an int32."""
    return tirx.const(number, "int32")


def polynomial(coefficients: Sequence[float], x: tirx.Expr) -> tirx.Expr:
    """Return c₀ + c₁·x + c₂·x² + …, by Horner's rule."""
    *others, result = map(const, coefficients)
    for coefficient in reversed(others):
        result = result * x + coefficient
    return result


def bits(x: tirx.Expr) -> tirx.Expr:
    """Return the bits of a float32 as an int32."""
    return tirx.reinterpret("int32", x)


def from_bits(pattern: tirx.Expr) -> tirx.Expr:
    """Return the float32 of some bits."""
    return tirx.reinterpret("float32", pattern)


def power_of_two(biased: tirx.Expr) -> tirx.Expr:
    """Return 2ⁿ for the n + 127 in the low eight bits of an int32; 0 for the 0 there."""
    return from_bits(tirx.shift_left(biased, whole(MANTISSA_BITS)))


def with_sign_of(x: tirx.Expr, magnitude: tirx.Expr) -> tirx.Expr:
    """Return a number that is not negative, with the sign of x."""
    return from_bits(tirx.bitwise_or(bits(magnitude), tirx.bitwise_and(bits(x), whole(SIGN))))
