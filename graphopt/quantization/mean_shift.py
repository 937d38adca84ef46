"""What a changed weight takes from the mean of a layer's output, given back by its bias.

With rows W that became Ŵ, the layer makes (W - Ŵ)·E[x] less on average; this goes into the bias (Nagel et al. 2019,
"Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names, add_initializer
from graphopt.quantization.obstacles import BIAS, BIASED, WEIGHT
from graphopt.quantization.rows import Float64


def takes_mean(node: ir.Node, channels: int) -> bool:
    """Whether a layer adds one constant a channel to what it makes, or could; a Gemm must scale neither."""
    factors = (node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
    if node.op_type not in BIASED or any(factor != 1 for factor in factors):
        return False
    value = node.inputs[BIAS] if len(node.inputs) > BIAS else None
    held = constant(value)
    return value is None or (held is not None and held.size == channels == held.shape[-1])


def shift_mean(node: ir.Node, shift: Float64, names: Names) -> None:
    """Add to what each channel of a layer makes; a bias of its own is made where it has none, or shares one.

    Args:
        node: of which `takes_mean` holds.
        shift: [channels].
        names: of the model.

    """
    graph, weight, value = node.graph, node.inputs[WEIGHT], node.inputs[BIAS] if len(node.inputs) > BIAS else None
    if not isinstance(graph, ir.Graph) or weight is None or weight.dtype is None:
        raise ValueError(f"{node.op_type} is in no graph, or its weight has no type")
    held = constant(value)
    bias = shift.ravel() if held is None else held.ravel().astype(np.float64) + shift.ravel()
    if len(node.inputs) <= BIAS:
        node.resize_inputs(BIAS + 1)
    name = f"{node.outputs[0].name}_bias" if value is None else str(value.name)
    node.replace_input_with(BIAS, add_initializer(graph, names.fresh(name), bias.astype(weight.dtype.numpy())))
    if value is not None:
        erase_unread([value])
