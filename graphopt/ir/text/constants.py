"""Seeded data for constants that a text declares without any."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from graphopt.errors import ModelError
from graphopt.tensors import Array

# Operands that mean something only when positive: variances and quantization scales.
POSITIVE_OPERANDS = {
    "BatchNormalization": (4,),
    "DequantizeLinear": (1,),
    "QLinearConv": (1, 4, 6),
    "QLinearMatMul": (1, 4, 6),
    "QuantizeLinear": (1,),
}


def fill_constants(graph: GraphProto, seed: int) -> None:
    """Turn what a graph declares and nothing produces into initializers, in subgraphs too.

    The data depend on the seed and the name alone. Floats are normal with the deviation 1/√(elements of one
    output channel); variances and scales lie in [0.5, 1.5); integers are small: 0 to 3.

    Raises:
        ModelError: a dimension of such a constant is no number.

    """
    defined = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    defined.update(output for node in graph.node for output in node.output)
    positive = set(_positive_names(graph))
    missing = [value for value in graph.value_info if value.name not in defined]
    for value in missing:
        graph.initializer.append(_seeded(value, seed, positive=value.name in positive or "var" in value.name))
        graph.value_info.remove(value)
    for node in graph.node:
        for subgraph in subgraphs(node):
            fill_constants(subgraph, seed)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node holds."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def _positive_names(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        for index in POSITIVE_OPERANDS.get(node.op_type, ()):
            if index < len(node.input):
                yield node.input[index]
        for subgraph in subgraphs(node):
            yield from _positive_names(subgraph)


def _seeded(value: ValueInfoProto, seed: int, *, positive: bool) -> TensorProto:
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        raise ModelError(f"constant {value.name!r} is declared without data and without sizes; number its dimensions")
    shape = tuple(dim.dim_value for dim in kind.shape.dim)
    generator = np.random.default_rng([seed, zlib.crc32(value.name.encode())])
    array = _sample(generator, shape, kind.elem_type, positive=positive)
    return numpy_helper.from_array(array, value.name)


def _sample(generator: np.random.Generator, shape: tuple[int, ...], elem_type: int, *, positive: bool) -> Array:
    if elem_type == TensorProto.STRING:
        return np.array([f"s{index}" for index in range(int(np.prod(shape)))], dtype=object).reshape(shape)
    dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    if dtype.kind in "iub":
        return np.asarray(generator.integers(0, 2 if dtype.kind == "b" else 4, shape)).astype(dtype)
    if positive:
        return np.asarray(generator.uniform(0.5, 1.5, shape)).astype(dtype)
    fan_in = max(1, int(np.prod(shape[1:])))
    return np.asarray(generator.standard_normal(shape) / np.sqrt(fan_in)).astype(dtype)
