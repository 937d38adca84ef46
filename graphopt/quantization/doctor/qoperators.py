"""The QOperator form: operators whose integers, scales and zero points are all inputs, and what each computes.

QLinearConv-10 and QLinearMatMul-10 are of `ai.onnx`; the others are contrib operators of onnxruntime, in
`com.microsoft` (onnxruntime, ContribOperators.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.ir.walk import is_op
from graphopt.quantization.doctor.quantizers import MICROSOFT


@dataclass(frozen=True)
class Triple:
    """Where an operand of a QOperator node stands: places of its integers, scale and zero point among the inputs."""

    integers: int | None
    scale: int
    zero: int


@dataclass(frozen=True)
class QOperator:
    """What a QOperator node computes.

    Attributes:
        op_type: the operator of `ai.onnx` on real numbers.
        operands: of the float operator, in order.
        result: of what it makes; its integers are the output.
        bias: the place of an int32 bias of scale sx·sw, where it may have one.
        attributes: those that mean what they mean to the float operator.

    """

    op_type: str
    operands: tuple[Triple, ...]
    result: Triple
    bias: int | None = None
    attributes: tuple[str, ...] = ()


_UNARY = (Triple(0, 1, 2),), Triple(None, 3, 4)
_BINARY = (Triple(0, 1, 2), Triple(3, 4, 5)), Triple(None, 6, 7)
_WINDOW = "auto_pad", "dilations", "kernel_shape", "pads", "strides"
_POOL = *_WINDOW, "ceil_mode", "count_include_pad"

_TABLE: Mapping[tuple[str, str], QOperator] = {
    ("", "QLinearConv"): QOperator("Conv", *_BINARY, bias=8, attributes=(*_WINDOW, "group")),
    ("", "QLinearMatMul"): QOperator("MatMul", *_BINARY),
    (MICROSOFT, "QLinearConv"): QOperator("Conv", *_BINARY, bias=8, attributes=(*_WINDOW, "group")),
    (MICROSOFT, "QGemm"): QOperator(
        "Gemm", _BINARY[0], Triple(None, 7, 8), bias=6, attributes=("alpha", "transA", "transB")
    ),
    (MICROSOFT, "QLinearAdd"): QOperator("Add", *_BINARY),
    (MICROSOFT, "QLinearMul"): QOperator("Mul", *_BINARY),
    (MICROSOFT, "QLinearAveragePool"): QOperator("AveragePool", *_UNARY, attributes=_POOL),
    (MICROSOFT, "QLinearGlobalAveragePool"): QOperator("GlobalAveragePool", *_UNARY),
    (MICROSOFT, "QLinearLeakyRelu"): QOperator("LeakyRelu", *_UNARY, attributes=("alpha",)),
    (MICROSOFT, "QLinearSigmoid"): QOperator("Sigmoid", *_UNARY),
    (MICROSOFT, "QLinearSoftmax"): QOperator("Softmax", *_UNARY, attributes=("axis",)),
}
_OTHERS = frozenset({
    ("", "ConvInteger"), ("", "MatMulInteger"), (MICROSOFT, "DynamicQuantizeMatMul"),
    (MICROSOFT, "MatMulIntegerToFloat"), (MICROSOFT, "QLinearReduceMean"), (MICROSOFT, "QLinearWhere"),
})  # fmt: skip
"""Integer operators that are left as they are: their parameters come in the run, or ai.onnx has no such function."""


def qoperator(node: ir.Node) -> QOperator | None:
    """Return what a QOperator node computes on real numbers, or None for every other node."""
    if node.attributes.get_int("channels_last", 0):
        return None
    if is_op(node, "QLinearConcat") or (node.domain == MICROSOFT and node.op_type == "QLinearConcat"):
        operands = tuple(Triple(index, index + 1, index + 2) for index in range(2, len(node.inputs), 3))
        return QOperator("Concat", operands, Triple(None, 0, 1), attributes=("axis",))
    return _TABLE.get(_key(node))


def computes_in_integers(node: ir.Node) -> bool:
    """Whether an operator is by itself one of integers, whatever it stands between."""
    return qoperator(node) is not None or _key(node) in _OTHERS or node.attributes.get_int("channels_last", 0) == 1


def _key(node: ir.Node) -> tuple[str, str]:
    return ("" if node.domain == "ai.onnx" else node.domain), node.op_type
