"""How far answers are from those in double precision: python -m tests.benchmarks.accuracy [NAME …].

Prints one Markdown row a topology: the largest error over the largest output, of native code with and without
Winograd's convolution, and of onnxruntime. What is right is computed by the reference implementation of ONNX, every
number a double.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.tensors import Array
from models import TOPOLOGIES
from tests.benchmarks.names import chosen

_SHAPE = 1, 3, 224, 224
_FLOAT, _DOUBLE = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE


def main(names: list[str]) -> None:
    """Write the table, row by row as it is measured."""
    wanted = chosen(names, TOPOLOGIES)
    sys.stdout.write("| model | graphopt | without Winograd | onnxruntime |\n|---|---|---|---|\n")
    for name in wanted:
        errors = " | ".join(f"{error:.1e}" for error in measure(TOPOLOGIES[name](batch=1)))
        sys.stdout.write(f"| {name} | {errors} |\n")
        sys.stdout.flush()


def measure(proto: onnx.ModelProto) -> Iterator[float]:
    """Yield the error of each side on one random input."""
    (value,) = proto.graph.input
    x = np.random.default_rng(0).standard_normal(_SHAPE, dtype=np.float32)
    (expected,) = ReferenceEvaluator(in_double_precision(proto)).run(None, {value.name: x.astype(np.float64)})
    for target in ("cpu", "cpu{winograd=false}"):
        yield error(expected, graphopt.compile(proto, target, cache=False)(x))
    yield error(expected, Session(proto.SerializeToString()).run({value.name: x}))


def error(expected: Array, answer: dict[str, Array]) -> float:
    """Return the largest difference over the largest number."""
    (actual,) = answer.values()
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def in_double_precision(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model of floats with every float a double."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    for tensor in model.graph.initializer:
        widen(tensor)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if value.type.tensor_type.elem_type == _FLOAT:
            value.type.tensor_type.elem_type = _DOUBLE
    for attribute in (attribute for node in model.graph.node for attribute in node.attribute):
        if attribute.type == onnx.AttributeProto.TENSOR:
            widen(attribute.t)
        elif attribute.name == "to" and attribute.i == _FLOAT:
            attribute.i = _DOUBLE
    return model


def widen(tensor: onnx.TensorProto) -> None:
    """Make a tensor of floats one of doubles."""
    if tensor.data_type == _FLOAT:
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
        )


if __name__ == "__main__":
    main(sys.argv[1:])
