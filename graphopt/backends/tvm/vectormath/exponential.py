"""exp and sigmoid, and the parts of eˣ of which the hyperbolic functions consist.

Cody and Waite's reduction x = n·ln 2 + r with |r| ≤ ½·ln 2, ln 2 in two parts, the first of so few digits that n times
it is exact; then the polynomial of `expf` in the Cephes library (Moshier, 1984–2000, netlib.org/cephes). n is read from
the bits of x·log₂ e + 1.5·2²³, a sum without a place for fractions.
"""

from __future__ import annotations

import math

from tvm import tirx

from graphopt.backends.tvm.vectormath.terms import Let, bits, const, polynomial, power_of_two, whole

_LOG2_E = 1 / math.log(2)
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_TO_WHOLE = 1.5 * 2**23
_BIAS = 127
"""An exponent n is n + 127 in a float."""
_TAIL = (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
"""(eʳ − 1 − r) / r² on |r| ≤ ½·ln 2."""
_OVERFLOWS = 89.0
_VANISHES = -176.0
"""Here n is -254: both halves of it make the factor 0, which no multiplication has to round down to."""


def exp(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return eˣ within 1 ULP, also where that is below 2⁻¹²⁶; infinite above, 0 below what a float32 holds."""
    return _scaled(let(tirx.min(const(_OVERFLOWS), tirx.max(const(_VANISHES), x))), let)


def sigmoid(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return 1 / (1 + e⁻ˣ) within 2.5 ULP, also where that is below 2⁻¹²⁶: 1 / (1 + d) or d / (1 + d), d = e⁻|ˣ|."""
    decay = let(_scaled(let(tirx.max(const(_VANISHES), -tirx.abs(x))), let))
    return tirx.Select(x < const(0), decay, const(1)) / (decay + const(1))


def exp_of_normal(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return eˣ within 1 ULP for -87 ≤ x ≤ 88, where neither it nor its factors leave the normal floats."""
    scale, power = scale_and_power(x, 0, let)
    return (power + const(1)) * scale


def scale_and_power(x: tirx.Expr, shift: int, let: Let) -> tuple[tirx.Expr, tirx.Expr]:
    """Return s = 2ⁿ⁺ˢʰⁱᶠᵗ and m = eʳ − 1 of x = n·ln 2 + r, so that eˣ·2ˢʰⁱᶠᵗ is s + s·m.

    n + shift has to lie within -126 … 127.
    """
    exponent, rest = _split(x, _BIAS + shift, let)
    return let(power_of_two(bits(exponent))), let(_exp_minus_one(rest))


def _scaled(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return eˣ for `_VANISHES` ≤ x ≤ `_OVERFLOWS`, scaled by 2ⁿ in two halves, so that it is rounded once."""
    exponent, rest = _split(x, 2 * _BIAS, let)
    both = let(bits(exponent))
    half = let(tirx.shift_right(both, whole(1)))
    power = let(_exp_minus_one(rest) + const(1))
    return power * power_of_two(half) * power_of_two(both - half)


def _split(x: tirx.Expr, bias: int, let: Let) -> tuple[tirx.Expr, tirx.Expr]:
    """Return, for x = n·ln 2 + r, a float whose low bits are n + bias, and r."""
    to_whole = const(_TO_WHOLE + bias)
    exponent = let(x * const(_LOG2_E) + to_whole)
    n = let(exponent - to_whole)
    rest = let(x - n * const(_LN2_HIGH))
    return exponent, let(rest - n * const(_LN2_LOW))


def _exp_minus_one(rest: tirx.Expr) -> tirx.Expr:
    return polynomial(_TAIL, rest) * (rest * rest) + rest
