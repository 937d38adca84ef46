"""Which initializers training changes: those that are weights of some operator."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir

from graphopt.ir.walk import is_op

_PRODUCTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Einsum": (0, 1),
    "Gather": (0,),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
}
"""The inputs that are factors of sums: weight decay is for these."""
_SHIFTS: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "Conv": (2,),
    "ConvTranspose": (2,),
    "Gemm": (2,),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "PRelu": (1,),
    "RMSNormalization": (1,),
}
"""The inputs that scale or shift whole channels."""
_VECTORS: Mapping[str, tuple[int, ...]] = dict.fromkeys(("Add", "Div", "Mul", "Sub"), (0, 1))
"""The same where there is more than one element; a single one is a number of the formula, the 6 of a HardSwish."""
_CARRIERS = (
    "Cast",
    "DequantizeLinear",
    "Flatten",
    "Identity",
    "QuantizeLinear",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""Between an initializer and the operator that it is a weight of; all read it as their first input."""


def trained(model: ir.Model) -> dict[str, bool]:
    """Return the names of the initializers that are weights, each with whether weight decay is for it.

    Weights of integers count where a DequantizeLinear reads them and nothing else does.
    """
    found: dict[str, bool] = {}
    for node in model.graph:
        for table, decays in ((_PRODUCTS, True), (_SHIFTS, False), (_VECTORS, False)):
            for index in table.get(node.op_type, ()) if is_op(node, node.op_type) else ():
                value = _origin(node.inputs[index]) if index < len(node.inputs) else None
                if value is not None and (table is not _VECTORS or _size(value) > 1):
                    found[str(value.name)] = found.get(str(value.name), False) or decays
    return found


def _origin(value: ir.Value | None) -> ir.Value | None:
    """Return the initializer that a value is made of without arithmetic, if it can be trained."""
    while value is not None and not value.is_initializer():
        producer = value.producer()
        value = producer.inputs[0] if producer is not None and is_op(producer, *_CARRIERS) else None
    if value is None or value.is_graph_input() or value.const_value is None or value.dtype is None:
        return None
    return value if value.dtype.is_floating_point() or is_dequantized(value) else None


def is_dequantized(value: ir.Value) -> bool:
    """Whether all that reads an initializer of integers is one DequantizeLinear."""
    readers = list(value.uses())
    return len(readers) == 1 and is_op(readers[0].node, "DequantizeLinear") and readers[0].idx == 0


def _size(value: ir.Value) -> int:
    return math.prod(value.const_value.shape.numpy()) if value.const_value is not None else 0
