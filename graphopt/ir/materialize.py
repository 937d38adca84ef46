"""Turning a value that is known into a constant, under its own name."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.tensors import Array


def make_constant(value: ir.Value, tensor: ir.TensorProtocol, *, in_function: bool = False) -> ir.Value:
    """Make every reader of a node's output read a constant of the same name, and return that.

    In a graph it is an initializer, which may be a graph output too (onnx.checker and onnxruntime take it,
    in subgraphs as well). A function has no initializers: there it is a Constant node. The node that made
    the value stays, its output unnamed and unread.
    """
    producer = value.producer()
    if producer is None or producer.graph is None:
        raise ValueError(f"value {value.name!r} is no output of a node in a graph")
    name, value.name = value.name, None
    replacement = _constant_node(producer, tensor) if in_function else ir.Value(const_value=tensor)
    replacement.name = name
    replacement.type, replacement.shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
    if not in_function:
        producer.graph.register_initializer(replacement)
    value.replace_all_uses_with(replacement, replace_graph_outputs=True)
    return replacement


def tensor_of(array: Array) -> ir.TensorProtocol:
    """Wrap an array, of objects where it holds strings."""
    if array.dtype.kind in "OSU":
        texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.ravel().tolist()]
        return ir.StringTensor(np.array(texts, dtype=object).reshape(array.shape), shape=ir.Shape(array.shape))
    return ir.Tensor(np.asarray(array, order="C"), dtype=ir.DataType.from_numpy(array.dtype))


def _constant_node(before: ir.Node, tensor: ir.TensorProtocol) -> ir.Value:
    node = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)], num_outputs=1)
    before.prepend(node)
    return node.outputs[0]
