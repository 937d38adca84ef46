"""Loading a quantized file, whoever wrote it."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.walk import nodes
from graphopt.quantization.doctor.qoperators import computes_in_integers, qoperator
from graphopt.quantization.doctor.quantizers import is_dequantize, is_quantize


def open_quantized(source: Source) -> ir.Model:
    """Load a model that holds quantized nodes, with the types and shapes that follow from its inputs.

    What the file says of values in between is forgotten: onnxruntime's quantizer leaves there the shapes and types of
    other values.

    Raises:
        ModelError: it cannot be read, or holds no quantized node.

    """
    model = load(source)
    if not any(is_dequantize(node) or is_quantize(node) or computes_in_integers(node) for node in nodes(model)):
        raise ModelError(
            f"model {model.graph.name!r} holds no quantized node; calibrate it first, `graphopt quantize` does"
        )
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None
        kind = qoperator(node)
        zero = constant_tensor(node.inputs[kind.result.zero]) if kind and kind.result.zero < len(node.inputs) else None
        if zero is not None:
            node.outputs[0].type = ir.TensorType(zero.dtype)
    infer_shapes(model)
    return model
