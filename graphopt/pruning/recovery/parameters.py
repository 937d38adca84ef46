"""Weight and bias of a layer, read as rows and written back."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import is_op
from graphopt.pruning.recovery.least_squares import Fit
from graphopt.quantization.rows import from_rows, to_rows, weight_of
from graphopt.tensors import Array


def moves_bias(node: ir.Node) -> bool:
    """Whether a layer has a bias, or can be given one: a MatMul cannot."""
    return not is_op(node, "MatMul")


def parameters_of(node: ir.Node) -> Fit:
    """Return what a layer computes W x + b with; the factors of a Gemm are part of them.

    Raises:
        ValueError: the layer has no constant weight.

    """
    weight = weight_of(node)
    if weight is None:
        raise ValueError(f"{node.op_type} has no constant weight")
    rows = to_rows(node, weight.astype(np.float64)) * _factor(node, "alpha")
    bias = constant(node.inputs[2]) if moves_bias(node) and len(node.inputs) > 2 else None
    given = 0.0 if bias is None else bias.astype(np.float64).reshape(-1) * _factor(node, "beta")
    return Fit(rows, np.broadcast_to(given, rows.shape[0] * rows.shape[1]).reshape(rows.shape[:2]))


def set_parameters(model: ir.Model, node: ir.Node, found: Fit) -> None:
    """Write weight and bias of a layer, rounded to the dtype of its weight."""
    weight = weight_of(node)
    if weight is None:
        raise ValueError(f"{node.op_type} has no constant weight")
    rows = found.weight / _factor(node, "alpha")
    write_input(model, node, 1, from_rows(node, rows, weight.shape).astype(weight.dtype))
    if moves_bias(node):
        write_input(model, node, 2, (found.bias.reshape(-1) / _factor(node, "beta")).astype(weight.dtype))


def _factor(node: ir.Node, name: str) -> float:
    return float(node.attributes.get_float(name, 1.0)) if is_op(node, "Gemm") else 1.0


def write_input(model: ir.Model, node: ir.Node, index: int, array: Array) -> None:
    """Give a node a constant of its own in place of an input, or one more; other readers keep what they have."""
    old = node.inputs[index] if index < len(node.inputs) else None
    if old is not None and old.is_initializer() and len(old.uses()) == 1 and not old.is_graph_output():
        old.const_value, old.shape = ir.tensor(array, name=old.name), ir.Shape(array.shape)
        return
    name = str(old.name) if old is not None else f"{node.outputs[0].name}_bias"
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, add_initializer(model.graph, Names(model).fresh(name), array))
