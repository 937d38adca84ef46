"""A model of fixed shapes as its native code is made from it."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.compiler.compile import SHAPE_FOLDING
from graphopt.compiler.emit import carry_constant_outputs
from graphopt.compiler.optimize import optimize
from graphopt.errors import ModelError
from graphopt.ir.fused import inline_kernels
from graphopt.pipeline.observer import Observer
from graphopt.targets import Target


def fixed_model(model: ir.Model, target: Target, pipeline: str, observer: Observer | None = None) -> ir.Model:
    """Optimize as `graphopt.compile` does for fixed shapes; raises ModelError where an input has no shape."""
    if nameless := [value.name for value in model.graph.inputs if value.shape is None]:
        raise ModelError(f"input {nameless[0]!r} has no shape; give one with --input-shape")
    optimized, _ = optimize(model, pipeline, target=target, observer=observer)
    inline_kernels(optimized)
    folded, _ = optimize(optimized, SHAPE_FOLDING, target=target, observer=observer)
    carry_constant_outputs(folded.graph)
    return folded
