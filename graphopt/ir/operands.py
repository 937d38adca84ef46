"""Operands that contradict each other where no engine of shape inference looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.constants import constant
from graphopt.ir.walk import STANDARD_DOMAINS, label


def check_operands(model: ir.Model) -> None:
    """Check the sizes that are known, wherever their axes must agree; raises ModelError.

    Branches and bodies that no run enters may fit other sizes than there are, so subgraphs go unchecked.
    """
    for node in model.graph:
        check = _CHECKS.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
        if check is not None:
            check(node)


def _conv(node: ir.Node) -> None:
    """X[n, c, …], W[m, c / group, …], B[m] (ONNX operator spec, Conv-11)."""
    groups = node.attributes.get_int("group", 1)
    inputs = _size(node, 1, 1)
    _agree(node, "channels in its input", _size(node, 0, 1), None if inputs is None else inputs * groups)
    _agree(node, "elements in its bias", _size(node, 2, 0), _size(node, 1, 0))


def _conv_transpose(node: ir.Node) -> None:
    """X[n, c, …], W[c, m / group, …], B[m] (ONNX operator spec, ConvTranspose-11)."""
    groups = node.attributes.get_int("group", 1)
    outputs = _size(node, 1, 1)
    _agree(node, "channels in its input", _size(node, 0, 1), _size(node, 1, 0))
    _agree(node, "elements in its bias", _size(node, 2, 0), None if outputs is None else outputs * groups)


def _normalization(node: ir.Node) -> None:
    """X[n, c, …] and one parameter of each kind a channel (BatchNormalization-15, InstanceNormalization-6)."""
    for index in range(1, len(node.inputs)):
        _agree(node, f"elements in its input {index}", _size(node, index, 0), _size(node, 0, 1))


def _axis(node: ir.Node) -> None:
    """Check the attribute: it counts the axes of the first input, from the end where it is negative."""
    if "axis" in node.attributes:
        _agree_on_axes(node, [node.attributes.get_int("axis", 0)])


def _slice(node: ir.Node) -> None:
    """Check the axes: an attribute up to opset 9, the fourth input since (Slice-10)."""
    given = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    _agree_on_axes(node, node.attributes.get_ints("axes", []) if given is None else given.ravel().tolist())


_WITH_AXIS = """
ArgMax ArgMin Concat Gather GatherElements Hardmax LayerNormalization LogSoftmax ScatterElements Softmax Split TopK
""".split()
_CHECKS: Mapping[str, Callable[[ir.Node], None]] = {
    **dict.fromkeys(_WITH_AXIS, _axis),
    "BatchNormalization": _normalization,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "InstanceNormalization": _normalization,
    "Slice": _slice,
}


def _size(node: ir.Node, index: int, axis: int) -> int | None:
    """Return the size of an input along an axis, if it is known."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None or value.shape is None or axis >= len(value.shape):
        return None
    dim = value.shape[axis]
    return dim if isinstance(dim, int) else None


def _agree(node: ir.Node, what: str, found: int | None, wanted: int | None) -> None:
    if found is not None and wanted is not None and found != wanted:
        raise ModelError(
            f"its shapes do not fit together: node {label(node)} has {found} {what}, not {wanted}; correct the model"
        )


def _agree_on_axes(node: ir.Node, axes: Iterable[int]) -> None:
    shape = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
    for axis in axes:
        if shape is not None and not -len(shape) <= axis < len(shape):
            raise ModelError(f"node {label(node)} works on axis {axis} where its input has {len(shape)}; correct it")
