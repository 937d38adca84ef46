"""Nodes taken out of a model as a model of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.materialize import tensor_of
from graphopt.ir.walk import nodes_within, reads, subgraphs
from graphopt.tensors import Array, Feeds

_IR_VERSION = 10


class Extract(NamedTuple):
    """A model, its values by those that they are copies of, and what its inputs are given, where it has any."""

    model: ir.Model
    values: Mapping[ir.Value, ir.Value]
    feeds: Feeds


def extract(
    nodes: Collection[ir.Node],
    opset_imports: Mapping[str, int],
    known: Mapping[ir.Value, ir.TensorProtocol],
    outputs: Collection[ir.Value] = (),
    *,
    fed: bool = False,
) -> Extract:
    """Copy nodes, in order, that read constants, `known`, or outputs of nodes before them, in subgraphs as well.

    What they read is constant in the copy, or with `fed` its inputs, of no known shape.
    """
    copies: dict[ir.Value, ir.Value] = {}
    given: list[ir.Value] = []
    copied: list[ir.Node] = []
    prefix = _prefix(nodes)
    for node in nodes:
        for value in reads(node):
            if value not in copies:
                tensor = known.get(value) or constant_tensor(value)
                if tensor is None:
                    raise ValueError(f"value {value.name!r} is neither constant nor computed")
                copies[value] = _initializer(tensor, f"{prefix}c{len(given)}")
                given.append(copies[value])
        copied.append(_copy(node, copies, prefix))
    results = [copies[value] for value in outputs]
    feeds = {str(value.name): _release(value) for value in given} if fed else {}
    inputs, initializers = (given, []) if fed else ([], given)
    graph = ir.Graph(inputs, results, nodes=copied, initializers=initializers, opset_imports=dict(opset_imports))
    return Extract(ir.Model(graph, ir_version=_IR_VERSION), copies, feeds)


def _release(value: ir.Value) -> Array:
    """Make a constant an input and return its content."""
    tensor, value.const_value, value.shape = value.const_value, None, None
    if tensor is None:
        raise ValueError(f"value {value.name!r} holds nothing")
    return tensor.numpy()


def _prefix(nodes: Collection[ir.Node]) -> str:
    """Return what begins no name in a subgraph, where names stay and may hide none of those around it."""
    graphs = [graph for node in nodes for graph in subgraphs(node)]
    names = {value.name for graph in graphs for value in _defined(graph)}
    prefix = ""
    while any(name and name.startswith(prefix) for name in names):
        prefix += "_"
    return prefix


def _defined(graph: ir.Graph) -> Sequence[ir.Value]:
    inner = [value for node in nodes_within(graph) for value in node.outputs]
    nested = [value for node in nodes_within(graph) for held in subgraphs(node) for value in _given(held)]
    return [*_given(graph), *inner, *nested]


def _given(graph: ir.Graph) -> Sequence[ir.Value]:
    return [*graph.inputs, *graph.initializers.values()]


def _copy(node: ir.Node, copies: dict[ir.Value, ir.Value], prefix: str) -> ir.Node:
    copy = ir.Node(
        node.domain,
        node.op_type,
        [None if value is None else copies[value] for value in node.inputs],
        [_copy_attribute(attribute, copies) for attribute in node.attributes.values()],
        num_outputs=len(node.outputs),
    )
    for value, result in zip(node.outputs, copy.outputs, strict=True):
        result.name = f"{prefix}v{len(copies)}" if value.name else ""
        result.type, result.shape = value.type, value.shape
        copies[value] = result
    return copy


def _copy_attribute(attribute: ir.Attr, copies: Mapping[ir.Value, ir.Value]) -> ir.Attr:
    if attribute.type is not ir.AttributeType.GRAPH:
        return attribute
    graph = attribute.as_graph().clone(allow_outer_scope_values=True)
    for node in nodes_within(graph):
        for index, value in enumerate(node.inputs):
            if value is not None and value in copies:
                node.replace_input_with(index, copies[value])
    return ir.AttrGraph(attribute.name, graph)


def _initializer(tensor: ir.TensorProtocol, name: str) -> ir.Value:
    # A tensor takes the name of the value that holds it, so the copy gets its own around the same bytes; and
    # bytes in a file of their own are mapped here, since the copy has no folder to find them in.
    strings = tensor.dtype is ir.DataType.STRING
    held = tensor_of(tensor.numpy()) if strings else ir.Tensor(tensor.numpy(), dtype=tensor.dtype)
    return ir.Value(name=name, shape=ir.Shape(held.shape.numpy()), type=ir.TensorType(held.dtype), const_value=held)
