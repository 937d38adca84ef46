"""Hyperbolic functions of eˣ − 1, which near zero keeps the digits that eˣ has lost."""

from __future__ import annotations

from tvm import tirx

from graphopt.backends.tvm.vectormath.exponential import scale_and_power
from graphopt.backends.tvm.vectormath.logarithm import log1p
from graphopt.backends.tvm.vectormath.terms import Let, const, with_sign_of

_TANH_IS_ONE = 9.25
_OVERFLOWS = 89.5
"""Half of eˣ is infinite here, a quarter is not, and neither is its factor 2ⁿ⁻²."""


def tanh(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return tanh x within 2.5 ULP, never beyond ±1: m / (m + 2) for m = e²|ˣ| − 1, with the sign of x."""
    capped = let(tirx.min(const(_TANH_IS_ONE), tirx.abs(x)))
    scale, power = scale_and_power(let(capped + capped), 0, let)
    less_one = let(scale * power + (scale - const(1)))
    return with_sign_of(x, less_one / (less_one + const(2)))


def sinh(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return sinh x within 3 ULP: 2·(m + m / (4·m + 1)) for m = (e|ˣ| − 1) / 4, with the sign of x."""
    scale, power = scale_and_power(let(tirx.min(const(_OVERFLOWS), tirx.abs(x))), -2, let)
    quarter = let(scale * power + (scale - const(0.25)))
    return with_sign_of(x, const(2) * (quarter + quarter / (const(4) * quarter + const(1))))


def cosh(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return cosh x within 2 ULP: 2·(q + 1 / (16·q)) for q = e|ˣ| / 4."""
    scale, power = scale_and_power(let(tirx.min(const(_OVERFLOWS), tirx.abs(x))), -2, let)
    quarter = let(scale * power + scale)
    return const(2) * (quarter + const(1 / 16) / quarter)


def atanh(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return atanh x within 3 ULP, NaN beyond ±1: ½·log(1 + 2·t / (1 − t)) for t = |x|, with the sign of x."""
    size = let(tirx.abs(x))
    return with_sign_of(x, const(0.5) * log1p(let(const(2) * size / (const(1) - size)), let))
