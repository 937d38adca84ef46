"""clip-weights: no weight beyond a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.errors import PipelineError
from graphopt.pipeline.base import LOSSY, Pass
from graphopt.pipeline.context import Context
from graphopt.quantization.rows import Float64
from graphopt.quantization.weights import weights_of


@dataclass(frozen=True)
class ClipWeights(Pass):
    """Moves weights of Conv, ConvTranspose, Gemm and MatMul to within [-h, h].

    One of two says what h is: `threshold`, for all layers; or `percentile`, of the absolute values of each weight, 100
    being the largest. A few large weights are what a coarse quantizer of the whole range pays most for.
    """

    name: ClassVar[str] = "clip-weights"

    threshold: float = 0.0
    percentile: float = 0.0

    def __post_init__(self) -> None:
        if bool(self.threshold) == bool(self.percentile):
            raise PipelineError(
                f"pass {self.name!r} takes one of threshold and percentile, as in {self.name}{{percentile=99.9}}"
            )
        if not 0 <= self.threshold < math.inf:
            raise PipelineError(f"option threshold={self.threshold} of pass {self.name!r} must be a number above 0")
        if not 0 <= self.percentile <= 100:
            raise PipelineError(
                f"option percentile={self.percentile} of pass {self.name!r} must be above 0, 100 at most"
            )

    @property
    def rounding(self) -> float:
        """Return how far the answers may move."""
        return LOSSY

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Clip the weights of the main graph; return how many had some beyond the bound."""
        changed = 0
        for weight in weights_of(model):
            rows = weight.rows
            bound = self._bound(np.abs(rows))
            beyond = int((np.abs(rows) > bound).sum())
            if beyond:
                weight.put(np.clip(rows, -bound, bound))
                ctx.applied(weight.nodes[0], f"{beyond} of its {rows.size} weights were beyond {bound:.4g}")
                changed += 1
        return changed

    def _bound(self, magnitudes: Float64) -> float:
        """Return h, a number that one of the weights has where a percentile says it: a second run finds the same."""
        if self.threshold:
            return self.threshold
        return float(np.percentile(magnitudes, self.percentile, method="higher")) if magnitudes.size else 0.0
