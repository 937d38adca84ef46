"""Shape and Size of values whose dimensions are fixed, though their data are not."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from graphopt.ir.dead import is_dead
from graphopt.ir.materialize import tensor_of
from graphopt.ir.walk import is_op
from passes.fold_constants.scope import Scope


def shape_results(scope: Scope) -> dict[ir.Value, ir.TensorProtocol]:
    """Return the results known from shapes alone, of dtype int64."""
    readers = (node for node in scope.nodes() if is_op(node, "Shape", "Size") and not is_dead(node))
    found = ((node.outputs[0], _result(node)) for node in readers)
    return {value: tensor for value, tensor in found if tensor is not None}


def _result(node: ir.Node) -> ir.TensorProtocol | None:
    data = node.inputs[0]
    if data is None or data.shape is None:
        return None
    dims = tuple(data.shape)
    if node.op_type == "Shape":  # Shape-15: `start` and `end` count as in a Python slice
        end = node.attributes.get("end")
        dims = dims[node.attributes.get_int("start", 0) : None if end is None else end.as_int()]
    sizes = [dim for dim in dims if isinstance(dim, int)]
    if len(sizes) != len(dims):
        return None
    return tensor_of(np.asarray(sizes if node.op_type == "Shape" else math.prod(sizes), np.int64))
