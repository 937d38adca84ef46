"""simplify-algebra: the identities of elementwise operators, casts and reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphopt.rewrite import RewritePass, Rule
from passes.simplify_algebra.bounds import BoundAtZero, BoundOfNegation, BoundTwice
from passes.simplify_algebra.casts import CastLike, CastTwice
from passes.simplify_algebra.idle import IdleActivation, IdleBound
from passes.simplify_algebra.logic import (
    DeMorgan,
    ExclusiveOfNegations,
    NotOfComparison,
    SameOperands,
    WhereNot,
    XorTrue,
)
from passes.simplify_algebra.multiples import SumOfMultiples
from passes.simplify_algebra.negation import (
    AddNegated,
    NegatedByConstant,
    NegatedDifference,
    NegatedTwice,
    SubtractNegated,
)
from passes.simplify_algebra.powers import SmallPower
from passes.simplify_algebra.reductions import ReduceTwice
from passes.simplify_algebra.repetition import AbsOfNegation, Idempotence, Involution, NonNegative, SquareOfRoot
from passes.simplify_algebra.scaling import (
    DivideByPowerOfTwo,
    DivideByReciprocal,
    MultiplyByReciprocal,
    ScaleShiftScale,
    ScaleTwice,
)
from passes.simplify_algebra.shifting import ShiftTwice, SubtractConstant
from passes.simplify_algebra.signs import ExtremumOfNegations, LargerOfOpposites, NegatedFactor, SquareOfMagnitude
from passes.simplify_algebra.slopes import SlopeOfOne, UniformSlope
from passes.simplify_algebra.variadic import NestedExtremum, NestedSum, SumOfTwo


class SimplifyAlgebra(RewritePass):
    """Merges chains of elementwise operators, and brings what is left into one form.

    The canonical form, which other passes may rely on and none may undo: a constant is added, not subtracted;
    divided by only if its inverse is inexact; a square is x · x; two bounds are a Clip, one at zero is a Relu;
    a slope below zero is an attribute; a sum of two is an Add; what is negated by a constant is a Neg, and a
    Neg is absorbed by the sum or the scale beside it.

    Rounding changes only where a constant is computed (in float64, once), and where two roundings become one;
    what over- or underflowed in between no longer does. The sign of a zero is not kept. Each file says more.
    Rules in order are enough: equality saturation by the same identities (egglog 13) leaves as many nodes on 17 real
    networks, and 3 % fewer on random elementwise graphs, mostly by moving a sign through several operators.

    Not done, since they are wrong for some x: x - x = 0 and x / x = 1 (infinities, NaN), log(exp(x)) = x
    (overflow), ¬(x < y) = x ≥ y in floating point (NaN), (x + a)·b + c = x·b + (a·b + c) (cancellation).
    """

    name: ClassVar[str] = "simplify-algebra"

    def rules(self) -> Sequence[Rule]:
        """Return the rules, those that only take away first."""
        return (
            Involution(),
            Idempotence(),
            NonNegative(),
            AbsOfNegation(),
            SquareOfRoot(),
            SameOperands(),
            SlopeOfOne(),
            UniformSlope(),
            BoundTwice(),
            IdleBound(),
            IdleActivation(),
            BoundOfNegation(),
            BoundAtZero(),
            NestedExtremum(),
            NestedSum(),
            SumOfTwo(),
            AddNegated(),
            SubtractNegated(),
            NegatedDifference(),
            NegatedTwice(),
            NegatedFactor(),
            SquareOfMagnitude(),
            ExtremumOfNegations(),
            LargerOfOpposites(),
            SumOfMultiples(),
            ScaleTwice(),
            NegatedByConstant(),
            DivideByPowerOfTwo(),
            DivideByReciprocal(),
            MultiplyByReciprocal(),
            ScaleShiftScale(),
            ShiftTwice(),
            SubtractConstant(),
            SmallPower(),
            XorTrue(),
            DeMorgan(),
            ExclusiveOfNegations(),
            NotOfComparison(),
            WhereNot(),
            CastTwice(),
            CastLike(),
            ReduceTwice(),
        )
