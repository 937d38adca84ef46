"""Which sums of products take bfloat16, where the target's precision allows it: those that are computed here.

These are Conv, Gemm and MatMul of float32 by constant weights. Depthwise convolution stays as it is, since a product of
its has no neighbour to be summed with, and so does Winograd's, whose transforms would amplify the rounding.

What such a sum reads is stored rounded, for whoever else reads it too: one tensor of half the bytes, as OpenVINO does,
instead of two and a kernel that rounds.
"""

from __future__ import annotations

import onnx_ir as ir

from graphopt.backends.tvm.lower.algorithm import winograd_of
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.ir.constants import constant
from graphopt.ir.walk import is_op
from graphopt.targets import Precision, Target
from graphopt.tensors import Array


def is_depthwise(weights: Array, groups: int) -> bool:
    """Whether each output channel of a convolution has an input channel for itself."""
    outputs, inputs, *_ = weights.shape
    return bool(groups == outputs == inputs * groups)


def multiplies_rounded(node: ir.Node, target: Target) -> bool:
    """Whether a node's first input and its weights are rounded to bfloat16 before they are multiplied."""
    if target.precision is not Precision.BF16 or not is_op(node, "Conv", "Gemm", "MatMul"):
        return False
    left, weights = node.inputs[0], constant(node.inputs[1])
    if left is None or weights is None or dtype_of(left) != "float32":
        return False
    if node.op_type == "Gemm":
        return not node.attributes.get_int("transA", 0)
    if node.op_type == "MatMul":
        return weights.ndim == 2 and len(shape_of(left)) > 1
    groups = node.attributes.get_int("group", 1)
    return not is_depthwise(weights, groups) and winograd_of(node, weights, target) is None


def is_read_rounded(value: ir.Value, target: Target) -> bool:
    """Whether any that reads a value rounds it first."""
    return any(use.idx == 0 and multiplies_rounded(use.node, target) for use in value.uses())
