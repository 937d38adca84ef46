"""tie-weights: tensors that are nearly equal become one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.errors import PipelineError
from graphopt.ir.constants import constant
from graphopt.ir.dead import erase_initializer
from graphopt.pipeline.base import LOSSY, Pass
from graphopt.pipeline.context import Context


@dataclass(frozen=True)
class TieWeights(Pass):
    """Lets the readers of nearly equal floating-point initializers read the first of them.

    Two are nearly equal if they have one type and one shape, and no element differs by more than `tolerance` times the
    largest of the first. Exactly equal ones are `deduplicate`'s; this changes answers by as much as the weights differ.
    """

    name: ClassVar[str] = "tie-weights"

    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < math.inf:
            raise PipelineError(f"option tolerance={self.tolerance} of pass {self.name!r} must be a number from 0 on")

    @property
    def rounding(self) -> float:
        """Return how far the answers may move."""
        return LOSSY

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Tie initializers of the main graph, each to the first that is near enough; return how many went."""
        firsts: defaultdict[Hashable, list[ir.Value]] = defaultdict(list)
        tied = 0
        for value in tuple(model.graph.initializers.values()):
            array = constant(value)
            if array is None or value.dtype is None or not value.dtype.is_floating_point() or not value.uses():
                continue
            alike = firsts[value.dtype, array.shape]
            first = None if value.is_graph_output() else next((one for one in alike if self._is_near(one, value)), None)
            if first is None:
                alike.append(value)
                continue
            ctx.applied(next(iter(value.consumers())), f"{value.name!r} is nearly {first.name!r}")
            value.replace_all_uses_with(first)
            tied += erase_initializer(value)
        return tied

    def _is_near(self, first: ir.Value, other: ir.Value) -> bool:
        kept, moved = (np.asarray(constant(value)).astype(np.float64) for value in (first, other))
        if not kept.size or not (np.isfinite(kept).all() and np.isfinite(moved).all()):
            return False
        return bool(np.abs(kept - moved).max() <= self.tolerance * np.abs(kept).max())
