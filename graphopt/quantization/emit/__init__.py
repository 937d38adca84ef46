"""Emitters: each writes a plan into a model as QuantizeLinear and DequantizeLinear, in the form that a target takes."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.quantization.emit.qdq import QDQEmitter
from graphopt.quantization.emit.tensorrt import TensorRTEmitter
from graphopt.quantization.migration import migrate
from graphopt.quantization.plan import Plan

EMITTERS: dict[str, type[QDQEmitter]] = {
    "x64": QDQEmitter,
    "graphopt": QDQEmitter,
    "tensorrt": TensorRTEmitter,
}
"""By the name of the form (`graphopt.quantization.forms.FORMS`)."""


def emit(model: ir.Model, plan: Plan, form: str) -> int:
    """Write a plan into the model that it was made for, in place; return how many nodes are new.

    Inputs and outputs keep their names and types.

    Raises:
        CalibrationError: the plan speaks of what the model does not have.
        ModelError: the model's opset lacks what the plan needs.

    """
    plan.check(model)
    migrate(model, plan.divisors)
    return EMITTERS[form](model, plan).run()
