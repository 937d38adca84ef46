"""How much arithmetic each operator does, from its static shapes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

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


class Dim(NamedTuple):
    """One dimension of a value."""

    value: ir.Value
    axis: int


@dataclass(frozen=True)
class Work:
    """What a node computes: as much as the product of some dimensions, which may become others.

    Attributes:
        dims: whose product it is.
        times: what it is multiplied with.
        products: whether these are multiply-adds, of two floating-point operations each.

    """

    dims: tuple[Dim, ...]
    times: int = 1
    products: bool = False

    @property
    def flops(self) -> int:
        """How many floating-point operations a unit of the product is."""
        return self.times * (2 if self.products else 1)

    @property
    def macs(self) -> int:
        """How many multiply-adds a unit of the product is."""
        return self.times if self.products else 0


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
    work = work_of(node)
    if work is None:
        return 0, 0
    units = math.prod(map(size_of, work.dims))
    return work.macs * units, work.flops * units


def work_of(node: ir.Node) -> Work | None:
    """Return what a node computes, None where that is nothing; raises UnknownShapeError where a rank is unknown."""
    if node.domain in STANDARD_DOMAINS and node.op_type not in _FREE:
        return _WORK.get(node.op_type, _per_output)(node)
    return None


def size_of(dim: Dim) -> int:
    """Return the size of a dimension; raises UnknownShapeError where it is not static."""
    size = dim.value.shape[dim.axis] if dim.value.shape is not None else None
    if not isinstance(size, int):
        raise UnknownShapeError
    return size


def _dims(value: ir.Value | None, first: int = 0) -> tuple[Dim, ...]:
    """Return the dimensions of a value, those from `first` on."""
    if value is None or value.shape is None:
        raise UnknownShapeError
    return tuple(Dim(value, axis) for axis in range(len(value.shape)))[first:]


def _product(dims: tuple[Dim, ...]) -> Work:
    return Work(dims, products=True)


def _conv(node: ir.Node) -> Work:
    """Each output element is a dot product over input channels of one group and the kernel's positions."""
    return _product(_dims(node.outputs[0]) + _dims(node.inputs[1], 1))


def _qlinear_conv(node: ir.Node) -> Work:
    return _product(_dims(node.outputs[0]) + _dims(node.inputs[3], 1))


def _conv_transpose(node: ir.Node) -> Work:
    """Each input element is scattered to output channels of one group and the kernel's positions."""
    return _product(_dims(node.inputs[0]) + _dims(node.inputs[1], 1))


def _gemm(node: ir.Node) -> Work:
    axis = 0 if node.attributes.get_int("transA", 0) else 1
    return _product((*_dims(node.outputs[0]), _dims(node.inputs[0])[axis]))


def _matmul(node: ir.Node) -> Work:
    return _product(_dims(node.outputs[0]) + _dims(node.inputs[0], -1))


def _per_output(node: ir.Node) -> Work:
    return Work(_dims(node.outputs[0]))


def _per_input(node: ir.Node) -> Work:
    return Work(_dims(node.inputs[0]))


def _pool(node: ir.Node) -> Work:
    return Work(_dims(node.outputs[0]), math.prod(node.attributes["kernel_shape"].as_ints()))


def _scale_shift(node: ir.Node) -> Work:
    return Work(_dims(node.outputs[0]), 2)


_WORK: dict[str, Callable[[ir.Node], Work]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _qlinear_conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
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
