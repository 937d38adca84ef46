"""fold-batch-norm: normalization at inference is a scale and a shift per channel, which its neighbours can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphopt.rewrite import RewritePass, Rule
from passes.fold_batch_norm.into_batch_norm import BatchNormTwice, ScaleAfterBatchNorm, ScaleBeforeBatchNorm
from passes.fold_batch_norm.into_consumer import (
    BatchNormThenConv,
    BatchNormThenConvTranspose,
    BatchNormThenGemm,
    BatchNormThenMatMul,
)
from passes.fold_batch_norm.into_producer import (
    ConvThenBatchNorm,
    ConvTransposeThenBatchNorm,
    GemmThenBatchNorm,
    MatMulThenBatchNorm,
)
from passes.fold_batch_norm.through_pool import ConvThenPoolThenBatchNorm


class FoldBatchNorm(RewritePass):
    """Folds BatchNormalization into the weights of what comes before or after it.

    Multiplications and additions per channel around a normalization merge into it first, and normalizations
    into each other, so that a chain of them folds as one. Where producer and consumer could both take it,
    the producer does.
    """

    name: ClassVar[str] = "fold-batch-norm"

    def rules(self) -> Sequence[Rule]:
        """Return the rules, merging first."""
        return (
            BatchNormTwice(),
            ScaleBeforeBatchNorm(),
            ScaleAfterBatchNorm(),
            ConvThenBatchNorm(),
            ConvTransposeThenBatchNorm(),
            GemmThenBatchNorm(),
            MatMulThenBatchNorm(),
            ConvThenPoolThenBatchNorm(),
            BatchNormThenConv(),
            BatchNormThenConvTranspose(),
            BatchNormThenGemm(),
            BatchNormThenMatMul(),
        )
