"""share-weights: few different values for all weights of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from graphopt.errors import PipelineError
from graphopt.pipeline.base import LOSSY, Pass
from graphopt.pipeline.context import Context
from graphopt.quantization.weights import weights_of
from graphopt.sharing.codebook import LARGEST_BOOK, is_shared, share_rows


@dataclass(frozen=True)
class ShareWeights(Pass):
    """Gives each weight of Conv, ConvTranspose, Gemm and MatMul the nearest of few values, found by k-means.

    `values` is how many there are, for each tensor or, with `per=row`, for each output channel of it. Zeros stay zero,
    and are none of these, where an eighth of the weights or more are. Without data the values are the best for the
    weights; `graphopt share --data` finds those that are best for what the layers make. `compact-weights` behind it
    stores in half a byte which of 16 values a weight has.
    """

    name: ClassVar[str] = "share-weights"

    values: int = 16
    per: Literal["tensor", "row"] = "tensor"

    def __post_init__(self) -> None:
        if not 1 < self.values <= LARGEST_BOOK:
            raise PipelineError(f"option values={self.values} of pass {self.name!r} must be from 2 to {LARGEST_BOOK}")

    @property
    def rounding(self) -> float:
        """Return how far the answers may move."""
        return LOSSY

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Share the weights of the main graph; return how many had more values."""
        by_row, changed = self.per == "row", 0
        for weight in weights_of(model):
            rows = weight.rows
            if is_shared(rows, self.values, by_row=by_row):
                continue
            weight.put(share_rows(rows, self.values, by_row=by_row))
            ctx.applied(weight.nodes[0], f"{np.unique(rows).size} different weights became few")
            changed += 1
        return changed
