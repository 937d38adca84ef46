"""log and log1p: x = 2ᵉ·(1 + f) with √½ ≤ 1 + f < √2, and log x = e·ln 2 + log(1 + f).

The polynomial, and ln 2 in two parts, are those of `logf` in the Cephes library (Moshier, 1984–2000,
netlib.org/cephes).
"""

from __future__ import annotations

import math

from tvm import tirx

from graphopt.backends.tvm.vectormath.terms import MANTISSA_BITS, Let, bits, const, from_bits, polynomial, whole

_TAIL = (
    *(3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1),
    *(-1.2420140846e-1, 1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2),
)
"""(log(1 + f) − f + f²/2) / f³ on √½ ≤ 1 + f < √2."""
_STEP = 2.0**-MANTISSA_BITS
_LN2_HIGH, _LN2_LOW = 0.693359375 * _STEP, -2.12194440e-4 * _STEP
"""Exponents are kept where they stand among the bits of a float: e is e·2²³."""
_ROOT_HALF = 0x3F3504F3
"""The bits of √½."""
_FOUR = 0x40800000
_EXPONENT = -1 << MANTISSA_BITS
_SMALLEST_NORMAL = 2.0**-126


def log(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return log x within 1 ULP, also for x below 2⁻¹²⁶; -∞ of 0, NaN of negative numbers."""
    small = x < const(_SMALLEST_NORMAL)
    normal = let(tirx.abs(tirx.Select(small, x * const(2.0**MANTISSA_BITS), x)))
    exponent = let(_exponent(normal))
    part = let(from_bits(bits(normal) - exponent) - const(1))
    scaled_by = tirx.Select(small, const(-MANTISSA_BITS / _STEP), const(0))
    return _defined_above(0, x, let(_sum(part, let(tirx.Cast("float32", exponent) + scaled_by), let)))


def log1p(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return log(1 + x) within 2 ULP, near zero as well; -∞ of -1, NaN below, the zero of a zero.

    The f of 1 + x = 2ᵉ·(1 + f) is x·2⁻ᵉ + (2⁻ᵉ − 1), in which nothing is lost: e is 0 for small x. 2⁻ᵉ is computed
    four times as large, as it would be no normal number for the largest x.
    """
    exponent = let(_exponent(let(tirx.abs(x + const(1)))))
    scale = from_bits(whole(_FOUR) - exponent)
    part = let(from_bits(bits(x) - exponent) + (scale * const(0.25) - const(1)))
    result = let(_sum(part, let(tirx.Cast("float32", exponent)), let))
    return _defined_above(-1, x, tirx.Select(x == const(0), x, result))


def _exponent(x: tirx.Expr) -> tirx.Expr:
    """Return e·2²³ for x = 2ᵉ·(1 + f)."""
    return tirx.bitwise_and(bits(x) - whole(_ROOT_HALF), whole(_EXPONENT))


def _sum(part: tirx.Expr, exponent: tirx.Expr, let: Let) -> tirx.Expr:
    """Return log(1 + part) + exponent·ln 2, the small terms first."""
    square = let(part * part)
    small = let(polynomial(_TAIL, part) * (part * square) + exponent * const(_LN2_LOW) - square * const(0.5))
    return part + small + exponent * const(_LN2_HIGH)


def _defined_above(pole: float, x: tirx.Expr, result: tirx.Expr) -> tirx.Expr:
    """Return the result for finite x above a pole, ∞ of ∞, -∞ at the pole, and NaN below and of NaN."""
    above = tirx.Select(x < const(math.inf), result, x)
    return tirx.Select(x > const(pole), above, tirx.Select(x == const(pole), const(-math.inf), const(math.nan)))
