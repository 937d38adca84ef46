"""What onnxruntime makes of a graph at a level of its optimizations, for tests of what is said about it."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime

INTEGER = {
    "QLinearConv": "Conv", "QGemm": "Gemm", "QLinearMatMul": "MatMul", "MatMulIntegerToFloat": "MatMul",
    "QLinearAdd": "Add", "QLinearMul": "Mul", "QLinearConcat": "Concat", "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool", "QLinearLeakyRelu": "LeakyRelu", "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}  # fmt: skip
"""Operators of integers, and what they compute."""

_MAKES_INTEGERS = frozenset(INTEGER) - {"MatMulIntegerToFloat"} | {"QuantizeLinear"}
_FLOAT = {"FusedConv": "Conv", "FusedGemm": "Gemm"}


def optimized(proto: onnx.ModelProto, level: str = "ORT_ENABLE_EXTENDED") -> onnx.GraphProto:
    """Return the graph that onnxruntime would run."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
        return onnx.load(path).graph


def in_integers(proto: onnx.ModelProto) -> tuple[Counter[str], Counter[str]]:
    """Count the operators that onnxruntime computes in integers, and those that it does not."""
    graph = optimized(proto)
    whole = {value.name for value in graph.input if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT}
    counted: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for node in graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            whole.update(node.output if node.op_type == "QuantizeLinear" else ())
        elif node.op_type in INTEGER:
            counted[0][INTEGER[node.op_type]] += 1
            whole.update(node.output if node.op_type in _MAKES_INTEGERS else ())
        elif node.input[0] in whole:
            counted[0][node.op_type] += 1
            whole.update(node.output)
        else:
            counted[1][_FLOAT.get(node.op_type, node.op_type)] += 1
    return counted
