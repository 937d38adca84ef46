"""Which operators a kernel may hold: one that reduces, and any number that work on single elements."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.traits import has_references, is_standard

ANCHORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Sums of products; what works on their single results can do so while these are still in registers."""

TRANSCENDENTAL = frozenset(
    """
    Acos Acosh Asin Asinh Atan Atanh Celu Cos Cosh Elu Erf Exp Gelu Log Mish Pow Selu Sigmoid Sin Sinh Softplus Swish
    Tan Tanh
    """.split()
)
"""Operators on single elements that are computed by a series."""

ELEMENTWISE = TRANSCENDENTAL | frozenset(
    """
    Abs Add And BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast Ceil Clip Div Equal Floor Greater GreaterOrEqual
    HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Max Mean Min Mod Mul Neg Not Or PRelu Reciprocal
    Relu Round Shrink Sign Softsign Sqrt Sub Sum ThresholdedRelu Where Xor
    """.split()
)


def is_fusible(node: ir.Node) -> bool:
    """Whether it is for fuse-operators to say with which others a node shares a kernel."""
    return is_anchor(node) or is_elementwise(node)


def is_anchor(node: ir.Node) -> bool:
    """Whether a kernel may be built around a node."""
    return is_standard(node) and node.op_type in ANCHORS and not has_references(node)


def is_elementwise(node: ir.Node) -> bool:
    """Whether each element of a node's only output depends on one element of each input, broadcast.

    So does BatchNormalization, unless it trains: its parameters are broadcast along the channels. Left out are
    values of unknown type, strings, and vectors of int64: shapes are computed with these, which other passes and
    the inference of shapes need to see.
    """
    if not is_standard(node) or len(node.outputs) != 1 or has_references(node):
        return False
    if node.op_type == "BatchNormalization":
        return not node.attributes.get_int("training_mode", 0)
    return node.op_type in ELEMENTWISE and all(map(_is_numeric, (*node.inputs, *node.outputs)))


def _is_numeric(value: ir.Value | None) -> bool:
    if value is None:
        return True
    if value.dtype in (None, ir.DataType.STRING):
        return False
    return value.dtype is not ir.DataType.INT64 or (value.shape is not None and len(value.shape) > 1)
