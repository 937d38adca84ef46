"""Which operators PyTorch executes, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir
import torch
from torch.nn import functional

from graphopt.distillation.bridge.activation import ACTIVATIONS
from graphopt.distillation.bridge.call import Call, Operator
from graphopt.distillation.bridge.convolution import convolution, transposed_convolution
from graphopt.distillation.bridge.elementwise import ELEMENTWISE
from graphopt.distillation.bridge.linear import einsum, gemm, matmul
from graphopt.distillation.bridge.movement import MOVEMENT
from graphopt.distillation.bridge.normalization import (
    batch_normalization,
    group_normalization,
    instance_normalization,
    layer_normalization,
    local_response_normalization,
    lp_normalization,
    rms_normalization,
)
from graphopt.distillation.bridge.pooling import average_pool, global_average_pool, global_max_pool, max_pool
from graphopt.distillation.bridge.quantization import dequantize, quantize, refuse_quantization
from graphopt.distillation.bridge.reduction import REDUCTIONS
from graphopt.distillation.bridge.resize import refuse_resize, resize, upsample
from graphopt.distillation.bridge.shapes import SHAPES
from graphopt.distillation.bridge.softmax import log_softmax, softmax
from graphopt.errors import ModelError
from graphopt.ir.constants import is_constant
from graphopt.ir.walk import STANDARD_DOMAINS


def dropout(call: Call) -> torch.Tensor:
    """Dropout in training, by the ratio that the node says; else its input."""
    ratio = call.get(1)
    share = call.real("ratio", 0.5) if ratio is None else ratio.item()
    return functional.dropout(call[0], share, call.mode.dropout)


OPERATORS: Mapping[str, Operator] = {
    **ACTIVATIONS,
    **ELEMENTWISE,
    **MOVEMENT,
    **REDUCTIONS,
    **SHAPES,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "DequantizeLinear": dequantize,
    "Dropout": dropout,
    "Einsum": einsum,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
    "LRN": local_response_normalization,
    "LogSoftmax": log_softmax,
    "LpNormalization": lp_normalization,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "QuantizeLinear": quantize,
    "RMSNormalization": rms_normalization,
    "Resize": resize,
    "Softmax": softmax,
    "Upsample": upsample,
}

_REFUSALS: Mapping[str, Callable[[ir.Node], str | None]] = {
    "DequantizeLinear": refuse_quantization,
    "QuantizeLinear": refuse_quantization,
    "Resize": refuse_resize,
}
_OUTPUTS = {"BatchNormalization": 3, "Split": 1 << 30}
"""How many outputs an operator's function returns, where that is not one."""


def check_operators(model: ir.Model) -> None:
    """Refuse a model with operators that have no gradient here; raises ModelError naming them all."""
    found: dict[str, int] = {}
    for node in model.graph:
        if (reason := _refusal(node)) is not None:
            found[reason] = found.get(reason, 0) + 1
    if found:
        listed = ", ".join(f"{name} ({count} ×)" if count > 1 else name for name, count in sorted(found.items()))
        raise ModelError(
            f"model {model.graph.name!r} cannot be trained, for these have no gradient here: {listed}; "
            "simplify it with `graphopt optimize`, or cut them off with `graphopt extract`"
        )


def _refusal(node: ir.Node) -> str | None:
    """Return what of a node PyTorch does not execute here, or None."""
    if any(is_constant(output) for output in node.outputs):
        return None
    if node.domain not in STANDARD_DOMAINS:
        return f"{node.domain}.{node.op_type}"
    if node.op_type not in OPERATORS:
        return node.op_type
    used = max(
        (index for index, value in enumerate(node.outputs) if value.uses() or value.is_graph_output()), default=0
    )
    if used >= _OUTPUTS.get(node.op_type, 1):
        return f"the output {used} of {node.op_type}"
    refuse = _REFUSALS.get(node.op_type)
    reason = None if refuse is None else refuse(node)
    return None if reason is None else f"{node.op_type} {reason}"
