"""The model with the channels that could leave it silenced where they end: the same shapes, the answers of `shrink`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.coupling.groups import Coupling, IntArray, Removal
from graphopt.ir.constants import constant
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.walk import label
from graphopt.tensors import Array


def mask(model: ir.Model, coupling: Coupling, removal: Removal) -> None:
    """Let channels contribute nothing, in place; `coupling` is that of this model or of one that it is a copy of.

    Their slices in the weights that sum over them become 0. Where a node sums without a weight, as a product of two
    computed matrices does, a Mul before it takes them out.

    Raises:
        ModelError: a group or channel that the coupling does not have.

    """
    infer_shapes(model)
    cut = Cut(model, coupling, removal)
    nodes = {node.outputs[0].name: node for node in model.graph if node.outputs}
    ends = [(nodes[end.node], end.operand, cut.of_operand(nodes[end.node], end.operand)) for end in coupling.sums]
    for end, (node, operand, leaving) in zip(coupling.sums, ends, strict=True):
        if end.axis in leaving:
            _silence(node, operand, {end.axis: leaving[end.axis]}, cut)


def _silence(node: ir.Node, operand: int, leaving: Mapping[int, IntArray], cut: Cut) -> None:
    value = node.inputs[operand]
    ((axis, indices),) = leaving.items()
    array = constant(value)
    if array is not None:
        cut.give(node, operand, _zeroed(array, axis, indices))
        return
    size = None if value is None or value.shape is None else value.shape[axis]
    if value is None or value.shape is None or value.dtype is None or not isinstance(size, int):
        raise ValueError(f"input {operand} of {label(node)} is of unknown shape or type")
    ones = np.ones((size, *[1] * (len(value.shape) - axis - 1)), value.dtype.numpy())
    product = ir.Node("", "Mul", [value, cut.constant(f"{value.name}_mask", _zeroed(ones, 0, indices))], num_outputs=1)
    silent = product.outputs[0]
    silent.name, silent.type, silent.shape = cut.fresh(f"{value.name}_masked"), value.type, value.shape
    node.prepend(product)
    node.replace_input_with(operand, silent)


def _zeroed(array: Array, axis: int, indices: IntArray) -> Array:
    array = array.copy()
    array[(slice(None),) * axis + (indices,)] = 0
    return array
