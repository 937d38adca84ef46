"""The matrices of Winograd's minimal filtering, made by the method of Toom and Cook.

F(m, r) computes m outputs of a filter of r taps with m + r - 1 products instead of m · r, by evaluating both
polynomials at m + r - 2 numbers and at infinity: y = Aᵀ[(G g) ⊙ (Bᵀ d)], with d the m + r - 1 inputs (Lavin and
Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). All entries are exact fractions. The numbers are
the smallest ones with small inverses, since the error grows with them (Barabasz et al., "Error Analysis and
Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2020).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import prod

_POINTS = (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2))

Matrix = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Transforms:
    """Aᵀ [m, m + r - 1], G [m + r - 1, r] and Bᵀ [m + r - 1, m + r - 1]."""

    output: Matrix
    weights: Matrix
    input: Matrix

    @property
    def outputs(self) -> int:
        """How many neighbouring outputs are computed together, m."""
        return len(self.output)

    @property
    def products(self) -> int:
        """How many products they take, and how many inputs they read: m + r - 1."""
        return len(self.input)


@cache
def transforms(outputs: int, taps: int) -> Transforms:
    """Return the matrices of F(outputs, taps); at most 8 products."""
    finite = [Fraction(point) for point in _POINTS[: outputs + taps - 2]]
    others = [[other for other in finite if other != point] for point in finite]
    scales = [
        prod((point - other for other in rest), start=Fraction(1)) for point, rest in zip(finite, others, strict=True)
    ]
    at_infinity = [Fraction(0)] * (taps - 1) + [Fraction(1)]
    evaluated = [[point**power / scale for power in range(taps)] for point, scale in zip(finite, scales, strict=True)]
    return Transforms(
        output=_frozen(
            [*(point**power for point in finite), Fraction(power == outputs - 1)] for power in range(outputs)
        ),
        weights=_frozen([*evaluated, at_infinity]),
        input=_frozen([*([*_polynomial(rest), Fraction(0)] for rest in others), _polynomial(finite)]),
    )


def _polynomial(roots: list[Fraction]) -> list[Fraction]:
    """Return the coefficients of the product of all x - root, the constant one first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*(-root * c for c in coefficients), Fraction(0)]
        coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _frozen(rows: Iterable[list[Fraction]]) -> Matrix:
    return tuple(map(tuple, rows))
