"""Which values are known now, and with what content."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphopt.ir.walk import is_op
from graphopt.tensors import Array


def constant_tensor(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return the tensor behind a value that no run can change, or None.

    An initializer that is also a graph input is a default which the caller may override: not a constant.
    All forms of `Constant` are understood (ONNX operator spec, Constant-13); the sparse one is made dense
    when a model is loaded, since onnx_ir cannot hold it.
    """
    if value is None:
        return None
    if value.is_initializer() and not value.is_graph_input():
        return value.const_value
    producer = value.producer()
    if producer is not None and is_op(producer, "Constant"):
        return _constant_node_tensor(producer)
    return None


def constant(value: ir.Value | None) -> Array | None:
    """Return the content of a constant as an array (a view where the tensor allows), or None.

    Strings come as an array of objects.
    """
    tensor = constant_tensor(value)
    return None if tensor is None else tensor.numpy()


def is_constant(value: ir.Value | None) -> bool:
    """Whether no run can change the value."""
    return constant_tensor(value) is not None


def _constant_node_tensor(node: ir.Node) -> ir.TensorProtocol | None:
    (name, attribute), *_ = node.attributes.items()
    if attribute.is_ref():
        return None
    match name:
        case "value":
            tensor: ir.TensorProtocol = attribute.value
            return tensor
        case "value_float" | "value_floats":
            return ir.tensor(np.asarray(attribute.value, np.float32))
        case "value_int" | "value_ints":
            return ir.tensor(np.asarray(attribute.value, np.int64))
        case "value_string":
            return _string_tensor([attribute.as_string()], ())
        case "value_strings":
            return _string_tensor(attribute.as_strings(), (len(attribute.as_strings()),))
        case _:
            return None


def _string_tensor(texts: Sequence[str], shape: tuple[int, ...]) -> ir.TensorProtocol:
    # From a list, numpy would make strings of one length, which lose their trailing zeros.
    array = np.array([text.encode() for text in texts], dtype=object).reshape(shape)
    return ir.StringTensor(array, shape=ir.Shape(shape))
