"""The error function, by two polynomials of our own.

Each is the minimax polynomial for the error of erf relative to erf, found by Remez's exchange in 50 digits, its
coefficients rounded to float32 from the constant on, those behind fitted anew each time:
`python -m tests.benchmarks.minimax`. The shape, a polynomial near zero and 1 − exp(polynomial) beyond, is N. Juffa's
(stackoverflow.com/questions/35148198).
"""

from __future__ import annotations

from tvm import tirx

from graphopt.backends.tvm.vectormath.exponential import exp_of_normal
from graphopt.backends.tvm.vectormath.terms import Let, const, polynomial, with_sign_of

BOUNDARY = 1.0
IS_ONE = 3.95
"""From 3.92 on, erf is 1 in float32."""
NEAR = (
    *(0.12837916612625122, -0.3761262595653534, 0.11283578723669052, -0.026853347197175026),
    *(0.005187162198126316, -0.0007997853099368513, 7.806903886375949e-05),
)
"""erf(√z)/√z − 1 on 0 ≤ z ≤ 1, within 2⁻²⁹."""
FAR = (
    *(-1.128480076789856, -0.635831356048584, -0.10511629283428192, 0.022798558697104454),
    *(-0.003186976769939065, 0.0002106470346916467),
)
"""log(1 − erf t) / t on 1 ≤ t ≤ 3.95; erf comes out within 2⁻²⁸."""


def erf(x: tirx.Expr, let: Let) -> tirx.Expr:
    """Return erf x within 1.5 ULP, never beyond ±1: t + t·p(t²) or 1 − exp(t·q(t)) for t = |x|, with the sign of x."""
    size = let(tirx.abs(x))
    near = let(size * polynomial(NEAR, let(size * size)) + size)
    capped = let(tirx.min(const(IS_ONE), size))
    far = let(const(1) - exp_of_normal(let(capped * polynomial(FAR, capped)), let))
    return with_sign_of(x, tirx.Select(size < const(BOUNDARY), near, far))
