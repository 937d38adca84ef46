"""Operands that contradict each other where no engine of shape inference looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.walk import STANDARD_DOMAINS, label


def check_operands(model: ir.Model) -> None:
    """Check the sizes that are known, wherever their axes must agree; raises ModelError."""
    for node in model.graph.all_nodes():
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


_CHECKS: Mapping[str, Callable[[ir.Node], None]] = {
    "BatchNormalization": _normalization,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "InstanceNormalization": _normalization,
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
