"""Elementary functions of float32 as polynomials, so that a kernel with Sigmoid, Gelu or Softmax stays vectors.

LLVM makes of the exp of a vector one call of the C library an element, and nothing around the calls is vectorized
either. The formulas here consist of what every vector unit has: add, multiply, divide, minimum, maximum, choice, and
shifts of the bits of a float. They need no fast-math, which stays off: LLVM contracts a·b + c to one rounding where
the processor can, and the bounds hold with and without.

    terms        constants, polynomials and names within an expression
    exponential  exp, sigmoid
    logarithm    log, log1p
    hyperbolic   tanh, sinh, cosh, atanh
    error        erf
    expand       calls of TVM's intrinsics → these formulas, in any kernel

Each docstring says its bound in units in the last place (ULP): |answer − f(x)| over the distance of the floats around
f(x), below 2⁻¹²⁶ the smallest float. `python -m tests.benchmarks.ulp` measures them on every float32.
"""
