"""fold-linear: what is linear beside a convolution or a matrix product is part of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphopt.rewrite import RewritePass, Rule
from passes.fold_linear.after_product import BiasedProductThenScale, GemmThenStep, MatMulThenStep, ProductThenAdd
from passes.fold_linear.before_product import StepThenGemm, StepThenMatMul
from passes.fold_linear.chains import BiasedMatMulTwice, ConvTwice, ProductTwice
from passes.fold_linear.convolution import (
    ConvThenStep,
    ConvTransposeThenStep,
    StepThenConv,
    StepThenConvTranspose,
)
from passes.fold_linear.factors import FactorOfBias, FactorOfProduct
from passes.fold_linear.selections import ChoiceThenConv, ConvThenChoice
from passes.fold_linear.transposes import FlattenedThenProduct, TransposeThenGemm, TransposeThenMatMul


class FoldLinear(RewritePass):
    """Folds arithmetic with constants, biases, transpositions and further products into linear operators.

    The forms that it leaves, so that other passes can count on them: a product of two matrices that is added
    to or transposed is one Gemm; a Gemm with constants has alpha = beta = 1; a product of more dimensions is
    MatMul, then Add. Where the operator before and the one after could both take a step, the one before does.
    A weight that others read too is copied only where it is small.
    """

    name: ClassVar[str] = "fold-linear"

    def rules(self) -> Sequence[Rule]:
        """Return the rules, those into what comes before first."""
        return (
            ConvThenStep(),
            ConvTransposeThenStep(),
            GemmThenStep(),
            ProductThenAdd(),
            MatMulThenStep(),
            BiasedProductThenScale(),
            FactorOfProduct(),
            FactorOfBias(),
            TransposeThenGemm(),
            TransposeThenMatMul(),
            FlattenedThenProduct(),
            ConvThenChoice(),
            ChoiceThenConv(),
            StepThenConv(),
            StepThenConvTranspose(),
            StepThenGemm(),
            StepThenMatMul(),
            ProductTwice(),
            BiasedMatMulTwice(),
            ConvTwice(),
        )
