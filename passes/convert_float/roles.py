"""What a node's inputs and outputs become when it computes in another float type."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.operators import accepts, input_types, output_types
from graphopt.ir.walk import is_op

FLOAT = ir.TensorType(ir.DataType.FLOAT)
NARROW = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
# They take any type, and their answer does not depend on it: they read whatever is there.
_INDIFFERENT = frozenset({"Cast", "Shape", "Size"})
# Numbers about the operation rather than operands of it; in float16 a scale of 1.1 is 1.0996.
_PARAMETERS = {"Resize": (1, 2), "Upsample": (1,), "Dropout": (1,)}


def is_indifferent(node: ir.Node) -> bool:
    """Whether a node takes its input in whichever type it comes."""
    return is_op(node, *_INDIFFERENT)


def converted_inputs(node: ir.Node, dtype: ir.DataType, opset: int) -> list[int]:
    """Return the float32 inputs that a node reads as `dtype` when it computes so."""
    if is_indifferent(node):
        return []
    kind = ir.TensorType(dtype)
    return [
        index
        for index, value in enumerate(node.inputs)
        if value is not None
        and value.type == FLOAT
        and index not in _PARAMETERS.get(node.op_type, ())
        and accepts(node, index, kind, opset)
    ]


def converted_outputs(node: ir.Node, dtype: ir.DataType, opset: int) -> list[ir.Value]:
    """Return the float32 outputs that a node makes as `dtype` when it computes so."""
    types, _ = output_types(node.op_type, opset)
    text = f"tensor({dtype.name.lower()})"
    return [
        value
        for index, value in enumerate(node.outputs)
        if value.name and value.type == FLOAT and types and text in types[min(index, len(types) - 1)]
    ]


def is_expressible(node: ir.Node, dtype: ir.DataType, opset: int) -> bool:
    """Whether ONNX's schema lets a node compute in `dtype`: what float32 has to be, and only that, may stay."""
    types, _ = input_types(node.op_type, opset)
    converted = set(converted_inputs(node, dtype, opset))
    for index, value in enumerate(node.inputs):
        if value is None or value.type != FLOAT or index in converted or index in _PARAMETERS.get(node.op_type, ()):
            continue
        if not is_indifferent(node) and types[min(index, len(types) - 1)] != {"tensor(float)"}:
            return False
    return bool(converted_outputs(node, dtype, opset)) or bool(converted)
