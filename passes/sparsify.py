"""sparsify: the weights that matter least become zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from graphopt.errors import PipelineError
from graphopt.pipeline.base import LOSSY, Pass
from graphopt.pipeline.context import Context
from graphopt.quantization.weights import Weight, weights_of
from graphopt.sparsity.counts import below_threshold, in_each, over_all
from graphopt.sparsity.pattern import Pattern, parse_pattern
from graphopt.sparsity.thinning import Thin, at_random, by_magnitude
from graphopt.tensors import Array


@dataclass(frozen=True)
class Sparsify(Pass):
    """Sets the smallest weights of Conv, ConvTranspose, Gemm and MatMul to zero, or any by chance, without data.

    One of three says how many: `fraction`, a share of each layer, or of all layers together with `scope=global`;
    `threshold` h, as in w·1(|w| > h); or `pattern`, as 2:4, two at most of four input channels side by side. What that
    does to the answers is not looked at; `graphopt sparsify --data` looks, and loses less.
    `compact-weights` behind it stores the zeros in fewer bytes.
    """

    name: ClassVar[str] = "sparsify"

    fraction: float = 0.0
    threshold: float = 0.0
    pattern: str = ""
    scope: Literal["layer", "global"] = "layer"
    method: Literal["magnitude", "random"] = "magnitude"

    def __post_init__(self) -> None:
        given = [name for name in ("fraction", "threshold", "pattern") if getattr(self, name)]
        if len(given) != 1:
            raise PipelineError(
                f"pass {self.name!r} takes one of fraction, threshold and pattern, as in {self.name}{{fraction=0.5}}"
            )
        if not 0 <= self.fraction < 1:
            raise PipelineError(f"option fraction={self.fraction} of pass {self.name!r} must be from 0 to below 1")
        if not 0 <= self.threshold < math.inf:
            raise PipelineError(f"option threshold={self.threshold} of pass {self.name!r} must be a number from 0 on")
        if self.method == "random" and self.threshold:
            raise PipelineError(f"option threshold of pass {self.name!r} goes by magnitude; leave method=random out")
        if self.scope == "global" and not self.fraction:
            raise PipelineError(f"option scope=global of pass {self.name!r} needs a fraction")
        if self.pattern:
            parse_pattern(self.pattern)

    @property
    def rounding(self) -> float:
        """Return how far the answers may move."""
        return LOSSY

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Thin the weights of the main graph; return how many lost some."""
        weights = weights_of(model)
        pattern = parse_pattern(self.pattern) if self.pattern else None
        counts = self._counts({weight.name: weight.array for weight in weights})
        rng = np.random.default_rng(ctx.seed)
        changed = 0
        for weight in weights:
            rows = weight.rows
            thinned = self._thin(weight, rng, pattern)(counts.get(weight.name, 0))
            if (gone := int((thinned != rows).sum())) > 0:
                weight.put(thinned)
                ctx.applied(weight.nodes[0], f"{gone} of its {rows.size} weights became zero")
                changed += 1
        return changed

    def _thin(self, weight: Weight, rng: np.random.Generator, pattern: Pattern | None) -> Thin:
        if self.method == "random":
            return at_random(weight.rows, rng, pattern, weight.taps)
        return by_magnitude(weight.rows, pattern, weight.taps)

    def _counts(self, arrays: Mapping[str, Array]) -> dict[str, int]:
        if self.pattern or not arrays:
            return {}
        if self.threshold:
            return below_threshold(arrays, self.threshold)
        share: Callable[[Mapping[str, Array], float], dict[str, int]] = over_all if self.scope == "global" else in_each
        return share(arrays, self.fraction)
