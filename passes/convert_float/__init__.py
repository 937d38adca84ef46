"""convert-float: weights and activations in half the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import onnx_ir as ir

from graphopt.ir.shapes import infer_shapes
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from passes.convert_float.choice import Choice, choose
from passes.convert_float.retyping import Retyping

ROUNDINGS = 64
"""About as many as layers stand behind each other in a deep network; errors grow more slowly than their number."""


@dataclass(frozen=True)
class ConvertFloat(Pass):
    """Computes in float16 or bfloat16 what was float32, between Casts.

    A node stays in float32 if `keep` names it (by its name, an output or its operator), if its operator takes
    no such tensors (by ONNX's schema, and in onnxruntime unless `runnable` is false), or if the numbers do not
    fit: a constant that overflows or loses its digits, or an activation beyond float16's 65,504. Activations
    are measured by running the model once, on the arrays of the file `data` or on seeded random ones.
    Inputs and outputs stay float32 unless `keep-io` is false. The functions of a model, and what goes into and
    out of an If, a Loop or a Scan, stay too.
    """

    name: ClassVar[str] = "convert-float"

    to: Literal["float16", "bfloat16"] = "float16"
    keep: tuple[str, ...] = ()
    keep_io: bool = True
    runnable: bool = True
    data: str = ""

    @property
    def rounding(self) -> float:
        """Return what some tens of roundings make, each of half a unit in the last place."""
        return ROUNDINGS * {"float16": 2.0**-12, "bfloat16": 2.0**-9}[self.to]

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Choose the nodes, change their types, and put Casts where two types meet."""
        if "" not in model.opset_imports:
            return 0
        annotated = infer_shapes(model)
        dtype = ir.DataType[self.to.upper()]
        wish = Choice(dtype, frozenset(self.keep), runnable=self.runnable, data=self.data, seed=ctx.seed)
        nodes = choose(model, wish, ctx)
        changes = Retyping(model, nodes, dtype, keep_io=self.keep_io).run()
        return annotated + changes + (infer_shapes(model) if changes else 0)
