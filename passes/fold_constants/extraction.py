"""Nodes taken out of a model as a model of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.materialize import tensor_of

_IR_VERSION = 10


@dataclass(frozen=True)
class Extract:
    """A model without inputs, and its values by those that they are copies of."""

    model: ir.Model
    values: Mapping[ir.Value, ir.Value]


def extract(
    nodes: Collection[ir.Node],
    opset_imports: Mapping[str, int],
    known: Mapping[ir.Value, ir.TensorProtocol],
    outputs: Collection[ir.Value] = (),
) -> Extract:
    """Copy nodes, in order, whose inputs are constants, `known`, or outputs of nodes before them."""
    copies: dict[ir.Value, ir.Value] = {}
    initializers: list[ir.Value] = []
    copied: list[ir.Node] = []
    for node in nodes:
        for value in node.inputs:
            if value is not None and value not in copies:
                tensor = known.get(value) or constant_tensor(value)
                if tensor is None:
                    raise ValueError(f"value {value.name!r} is neither constant nor computed")
                copies[value] = _initializer(tensor, f"c{len(initializers)}")
                initializers.append(copies[value])
        copied.append(_copy(node, copies))
    results = [copies[value] for value in outputs]
    graph = ir.Graph([], results, nodes=copied, initializers=initializers, opset_imports=dict(opset_imports))
    return Extract(ir.Model(graph, ir_version=_IR_VERSION), copies)


def _copy(node: ir.Node, copies: dict[ir.Value, ir.Value]) -> ir.Node:
    copy = ir.Node(
        node.domain,
        node.op_type,
        [None if value is None else copies[value] for value in node.inputs],
        node.attributes.values(),
        num_outputs=len(node.outputs),
    )
    for value, result in zip(node.outputs, copy.outputs, strict=True):
        result.name = f"v{len(copies)}" if value.name else ""
        result.type, result.shape = value.type, value.shape
        copies[value] = result
    return copy


def _initializer(tensor: ir.TensorProtocol, name: str) -> ir.Value:
    # A tensor takes the name of the value that holds it, so the copy gets its own around the same bytes; and
    # bytes in a file of their own are mapped here, since the copy has no folder to find them in.
    strings = tensor.dtype is ir.DataType.STRING
    held = tensor_of(tensor.numpy()) if strings else ir.Tensor(tensor.numpy(), dtype=tensor.dtype)
    return ir.Value(name=name, shape=ir.Shape(held.shape.numpy()), type=ir.TensorType(held.dtype), const_value=held)
