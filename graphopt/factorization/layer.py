"""What can be factored: a Conv, Gemm or MatMul with a constant weight, read as one linear map a group of channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from graphopt.calibration.gram import Float64
from graphopt.inspect.statistics import static_shape
from graphopt.ir.constants import constant, is_constant
from graphopt.ir.traits import has_references
from graphopt.ir.walk import is_op

OPERATORS = ("Conv", "Gemm", "MatMul")
_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


@dataclass(frozen=True)
class Layer:
    """A node that multiplies columns of its input with a constant weight.

    Attributes:
        node: the node.
        weight: [groups, outputs, inputs, *kernel], outputs and inputs of one group; a matrix has no kernel. It is a
            convolution over no axes, then, of one group.
        bias: what is added to each of the outputs, [groups · outputs]; None where nothing is, or no constant.
        before, after: sizes of the spatial axes that the window comes from and goes to; (rows,) of a matrix. None
            where the model does not say.

    """

    node: ir.Node
    weight: Float64
    bias: Float64 | None
    before: tuple[int, ...] | None
    after: tuple[int, ...] | None

    @property
    def name(self) -> str:
        """The name of the value that it makes."""
        return str(self.node.outputs[0].name)

    @property
    def groups(self) -> int:
        """How many groups of channels there are."""
        return int(self.weight.shape[0])

    @property
    def outputs(self) -> int:
        """How many channels a group makes."""
        return int(self.weight.shape[1])

    @property
    def inputs(self) -> int:
        """How many channels a group reads."""
        return int(self.weight.shape[2])

    @property
    def kernel(self) -> tuple[int, ...]:
        """The sizes of the window, () of a matrix."""
        return self.weight.shape[3:]

    @property
    def taps(self) -> int:
        """How many places the window has."""
        return math.prod(self.kernel)

    @property
    def columns(self) -> int:
        """How many numbers each output is a sum over: inputs · taps."""
        return math.prod(self.weight.shape[2:])

    @cached_property
    def rows(self) -> Float64:
        """The weight as matrices [groups, outputs, columns]."""
        return self.weight.reshape(self.groups, self.outputs, self.columns)

    @property
    def takes_bias(self) -> bool:
        """Whether a constant can be added to its outputs without another node."""
        if is_op(self.node, "MatMul"):
            return False
        return self.bias is not None or len(self.node.inputs) < 3 or self.node.inputs[2] is None


def layer_of(node: ir.Node) -> Layer | str:
    """Read a node as a layer, or say why it is none."""
    if not is_op(node, *OPERATORS):
        return f"{node.op_type} has no weight that is factored; Conv, Gemm and MatMul have"
    if has_references(node):
        return "its attributes are filled in by each call"
    if not is_constant(node.inputs[1]):
        return "its weight is no constant"
    weight = node.inputs[1]
    if weight is None or weight.dtype not in _FLOATS:
        return "its weight holds no floating-point numbers"
    if len(weight.uses()) > 1 or weight.is_graph_output():
        return f"its weight {weight.name!r} is read elsewhere too"
    if not np.isfinite(_content(node, 1)).all():
        return "its weight holds a NaN or an infinity"
    return _conv(node) if is_op(node, "Conv") else _matrix(node)


def _conv(node: ir.Node) -> Layer | str:
    array = _content(node, 1)
    groups = node.attributes.get_int("group", 1)
    if array.ndim < 3 or array.shape[0] % groups:
        return "its weight has other axes than a convolution's"
    taps = array.reshape(groups, array.shape[0] // groups, *array.shape[1:])
    return Layer(node, taps, _bias(node, array.shape[0]), _spatial(node.inputs[0]), _spatial(node.outputs[0]))


def _matrix(node: ir.Node) -> Layer | str:
    array = _content(node, 1)
    if array.ndim != 2:
        return "its weight is no matrix"
    scale = node.attributes.get_float("alpha", 1.0)
    if not scale:
        return "it multiplies its weight with zero"
    rows = array if node.attributes.get_int("transB", 0) else array.T
    sizes = _rows(node.outputs[0])
    return Layer(node, (scale * rows)[None], _bias(node, rows.shape[0]), sizes, sizes)


def _content(node: ir.Node, index: int) -> Float64:
    array = constant(node.inputs[index])
    if array is None:
        raise ValueError(f"input {index} of {node.op_type} is no constant")
    return array.astype(np.float64)


def _bias(node: ir.Node, outputs: int) -> Float64 | None:
    """Return the constant that a Conv or a Gemm adds to each output; what has other axes is left as it is."""
    if len(node.inputs) < 3 or not is_constant(node.inputs[2]):
        return None
    array = _content(node, 2) * node.attributes.get_float("beta", 1.0)
    if array.size not in (1, outputs) or array.shape[-1:] not in ((), (1,), (outputs,)):
        return None
    return np.broadcast_to(array.reshape(-1), (outputs,)).copy()


def _spatial(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the sizes behind the batch and the channels, where all of them are known."""
    dims = () if value is None or value.shape is None else tuple(value.shape)[2:]
    sizes = tuple(dim for dim in dims if isinstance(dim, int))
    return sizes if dims and len(sizes) == len(dims) else None


def _rows(value: ir.Value) -> tuple[int, ...] | None:
    try:
        return (math.prod(static_shape(value)[:-1]),)
    except ValueError:
        return None
