"""The passes, one a file or one family a folder; passes/README.md holds their laws."""

from __future__ import annotations

from graphopt.pipeline.base import Pass
from passes.fold_batch_norm import FoldBatchNorm

PASSES: dict[str, type[Pass]] = {
    FoldBatchNorm.name: FoldBatchNorm,
}
