"""equalize-channels: weights of two layers whose channels one scale for a whole tensor fits."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.walk import label
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from graphopt.quantization.equalize import equalize


class EqualizeChannels(Pass):
    """Moves scale between layers until the channels of the weights on both sides are equally wide.

    The model computes the same numbers, but for rounding. It pays before a quantization with one scale for all channels
    of a weight, and where a Relu or nothing stands between layers: a Clip, as Relu6, has a bound that does not scale.
    """

    name: ClassVar[str] = "equalize-channels"

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Change the weights of the chains of the main graph."""
        chains = equalize(model)
        for chain in chains:
            ctx.applied(chain.second.node, f"reads channels as wide as its own of {label(chain.first.node)}")
        return len(chains)
