"""What small integer tensors hold, as far as shapes and constants decide it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.traits import is_standard
from graphopt.ir.walk import nodes_within
from passes.infer_shapes.elements import UNKNOWN, Elements
from passes.infer_shapes.operators import LARGEST, RULES, BeyondRuleError, Operands

Contents = dict[ir.Value, Elements]

_FOLLOWED = frozenset({ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL})


def contents_of(model: ir.Model) -> Contents:
    """Return what the nodes of the main graph and its subgraphs compute, where a rule follows them."""
    contents: Contents = {}
    for node in nodes_within(model.graph):
        rule = RULES.get(node.op_type) if is_standard(node) else None
        if rule is None or not all(value.dtype in _FOLLOWED for value in node.outputs):
            continue
        operands = Operands(node, tuple(read(value, contents) for value in node.inputs))
        try:
            results = rule(operands)
        except (BeyondRuleError, ValueError, IndexError, ZeroDivisionError):
            continue  # numpy raises where the node would fail in every run
        for value, elements in zip(node.outputs, results, strict=True):
            if _is_representable(value, elements):
                contents[value] = elements
    return contents


def read(value: ir.Value | None, contents: Contents) -> Elements | None:
    """Return the elements of a value: followed, constant, or each unknown; None if not even their number is known."""
    if value is None:
        return None
    if value in contents:
        return contents[value]
    tensor = constant_tensor(value)
    if tensor is not None:
        small = tensor.dtype in _FOLLOWED and tensor.size <= LARGEST
        return tensor.numpy().astype(object) if small else None
    if value.dtype not in _FOLLOWED or value.shape is None or not value.shape.is_static():
        return None
    shape = value.shape.numpy()
    return np.full(shape, UNKNOWN, dtype=object) if np.prod(shape) <= LARGEST else None


def _is_representable(value: ir.Value, elements: Elements) -> bool:
    """Whether no number overflows the dtype: a run would wrap around, and we do not."""
    if value.dtype is None or value.dtype is ir.DataType.BOOL:
        return value.dtype is not None
    limits = np.iinfo(value.dtype.numpy())
    return all(limits.min <= int(element) <= limits.max for element in elements.flat if isinstance(element, int))
