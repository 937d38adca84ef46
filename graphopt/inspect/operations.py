"""How much arithmetic each operator does, from its static shapes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import onnx_ir as ir

from graphopt.ir.walk import STANDARD_DOMAINS, nodes


class UnknownShapeError(Exception):
    """A shape that the count needs is not static."""


@dataclass
class Operations:
    """Totals over a model; see `graphopt.inspect.statistics.Statistics`."""

    flops: int = 0
    macs: int = 0
    uncounted: Counter[str] = field(default_factory=Counter)


def count_operations(model: ir.Model) -> Operations:
    """Count the operations of all nodes, those of a loop's body once."""
    total = Operations()
    for node in nodes(model):
        try:
            macs, flops = operations_of(node)
        except UnknownShapeError:
            total.uncounted[node.op_type] += 1
            continue
        total.macs += macs
        total.flops += flops
    return total


def operations_of(node: ir.Node) -> tuple[int, int]:
    """Return the multiply-adds and the floating-point operations of a node; raises UnknownShapeError."""
    if node.domain not in STANDARD_DOMAINS or node.op_type in _FREE:
        return 0, 0
    macs = _MACS[node.op_type](node) if node.op_type in _MACS else 0
    return macs, 2 * macs if macs else _FLOPS.get(node.op_type, _per_output)(node)


def _elements(value: ir.Value | None) -> int:
    return math.prod(_dims(value))


def _dims(value: ir.Value | None) -> list[int]:
    if value is None or value.shape is None:
        raise UnknownShapeError
    dims = [dim for dim in value.shape if isinstance(dim, int)]
    if len(dims) != len(value.shape):
        raise UnknownShapeError
    return dims


def _conv(node: ir.Node) -> int:
    """Each output element is a dot product over input channels of one group and the kernel's positions."""
    return _elements(node.outputs[0]) * math.prod(_dims(node.inputs[1])[1:])


def _conv_transpose(node: ir.Node) -> int:
    """Each input element is scattered to output channels of one group and the kernel's positions."""
    return _elements(node.inputs[0]) * math.prod(_dims(node.inputs[1])[1:])


def _gemm(node: ir.Node) -> int:
    transposed = node.attributes.get("transA")
    axis = 0 if transposed is not None and transposed.as_int() else 1
    return _elements(node.outputs[0]) * _dims(node.inputs[0])[axis]


def _matmul(node: ir.Node) -> int:
    return _elements(node.outputs[0]) * _dims(node.inputs[0])[-1]


def _per_output(node: ir.Node) -> int:
    return _elements(node.outputs[0])


def _per_input(node: ir.Node) -> int:
    return _elements(node.inputs[0])


def _pool(node: ir.Node) -> int:
    kernel = node.attributes["kernel_shape"].as_ints()
    return _elements(node.outputs[0]) * math.prod(kernel)


def _scale_shift(node: ir.Node) -> int:
    return 2 * _elements(node.outputs[0])


_Count = Callable[[ir.Node], int]

_MACS: dict[str, _Count] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": lambda node: _elements(node.outputs[0]) * math.prod(_dims(node.inputs[3])[1:]),
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
}

_FLOPS: dict[str, _Count] = {
    "AveragePool": _pool,
    "MaxPool": _pool,
    "BatchNormalization": _scale_shift,
    "GlobalAveragePool": _per_input,
    "GlobalMaxPool": _per_input,
    **dict.fromkeys(
        (
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceSum",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ArgMax",
            "ArgMin",
        ),
        _per_input,
    ),
}

_FREE = frozenset(
    "Cast CastLike Concat Constant ConstantOfShape DepthToSpace Dropout Expand Flatten Gather GatherElements GatherND"
    " Identity If Loop NonZero OneHot Pad Range Reshape Scan ScatterElements ScatterND Shape Size Slice SpaceToDepth"
    " Split Squeeze Tile Transpose Unsqueeze Where".split()
)
"""Operators that move or make data without arithmetic, and those whose bodies are counted themselves."""
