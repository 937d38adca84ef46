"""remove-blocks: residual blocks and layers out of a model, as they were chosen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from graphopt.errors import PipelineError
from graphopt.pipeline.base import LOSSY, Pass
from graphopt.pipeline.context import Context
from graphopt.pruning.blocks.bypass import METADATA_KEY, Bypass, remove
from graphopt.pruning.blocks.find import are_alike


@dataclass(frozen=True)
class RemoveBlocks(Pass):
    """Leaves out the computation of values, and reads others of the same shape in their place.

    `outputs` are the values that are no longer computed, `sources` those that stand in for each: the sum of a residual
    block and the stream that goes into it, or what a layer makes and what it reads. `graphopt shorten` chooses them and
    says them. A model that blocks were removed from stays.
    """

    name: ClassVar[str] = "remove-blocks"

    outputs: tuple[str, ...]
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.outputs) != len(self.sources) or not self.outputs:
            raise PipelineError(
                f"options outputs and sources of pass {self.name!r} must be as many values, one at least; "
                f"they are {len(self.outputs)} and {len(self.sources)}"
            )

    @property
    def rounding(self) -> float:
        """Return how far the answers may move."""
        return LOSSY

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Take out the blocks of the main graph whose stand-in has the same shape."""
        first = next(iter(model.graph), None)
        if first is not None and METADATA_KEY in model.metadata_props:
            ctx.missed(first, "blocks of the model were removed already")
            return 0
        bypasses = [Bypass(*pair) for pair in zip(self.outputs, self.sources, strict=True)]
        return remove(model, [bypass for bypass in bypasses if self._fits(model, bypass, ctx)])

    def _fits(self, model: ir.Model, bypass: Bypass, ctx: Context) -> bool:
        values = {str(value.name): value for value in model.graph.inputs}
        values |= {str(value.name): value for node in model.graph for value in node.outputs}
        if missing := [name for name in bypass if name not in values]:
            raise PipelineError(f"pass {self.name!r} names {missing[0]!r}, which the model does not have")
        node = values[bypass.output].producer()
        if node is None:
            raise PipelineError(f"pass {self.name!r} is to leave out {bypass.output!r}, an input of the model")
        if are_alike(values[bypass.source], values[bypass.output]):
            ctx.applied(node, f"is {bypass.source!r}")
            return True
        ctx.missed(node, f"{bypass.source!r} is not known to have its type and shape")
        return False
