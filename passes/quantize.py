"""quantize: a plan that was made before, written into the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import onnx_ir as ir

from graphopt.errors import PipelineError, TargetError
from graphopt.ir.traits import QUANTIZATION
from graphopt.ir.walk import is_op
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from graphopt.quantization.emit import emit
from graphopt.quantization.plan import Plan
from graphopt.quantization.scheme import parse_scheme

ROUNDING = 0.5
"""What 8 bits may move an answer by is a matter of the data: a check is to find what is broken, no loss of accuracy."""


@dataclass(frozen=True)
class Quantize(Pass):
    """Computes in integers what a plan says, between QuantizeLinear and DequantizeLinear.

    `plan` is a file that `graphopt quantize --plan FILE` or `Plan.save` wrote, for the model as it is at this place
    of the pipeline: the same passes must stand before. `target` is the scheme that it was made for. A model that has
    QuantizeLinear or DequantizeLinear already stays as it is.
    """

    name: ClassVar[str] = "quantize"

    plan: str
    target: str = "x64"

    def __post_init__(self) -> None:
        try:
            parse_scheme(self.target)
        except TargetError as error:
            raise PipelineError(f"option target of pass {self.name!r}: {error}") from error

    @property
    def rounding(self) -> float:
        """Return how far the answers may move."""
        return ROUNDING

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Read the plan and write it into the main graph."""
        quantized = next((node for node in model.graph if is_op(node, *QUANTIZATION)), None)
        if quantized is not None:
            ctx.missed(quantized, "the model is quantized already")
            return 0
        return emit(model, Plan.load(Path(self.plan)), parse_scheme(self.target).form)
