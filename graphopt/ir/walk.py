"""Going through a model: every scope, every node, and how to name one to a person."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
_GRAPH, _GRAPHS = ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS  # looking up a member of an enumeration is slow


def scopes(model: ir.Model) -> Iterator[ir.Graph]:
    """Yield the main graph and the body of every function, and after each the subgraphs nested in it."""
    for root in (model.graph, *(function.graph for function in model.functions.values())):
        yield root
        yield from nested(root)


def nested(graph: ir.Graph) -> Iterator[ir.Graph]:
    """Yield the subgraphs in a graph, each before those in it."""
    for node in graph:
        if has_subgraphs(node):
            for subgraph in subgraphs(node):
                yield subgraph
                yield from nested(subgraph)


def nodes_within(graph: ir.Graph | ir.Function) -> Iterator[ir.Node]:
    """Yield the nodes of a graph and of those nested in it, each before what it holds; safe against its removal."""
    for node in graph:
        yield node
        if has_subgraphs(node):
            for subgraph in subgraphs(node):
                yield from nodes_within(subgraph)


def nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Yield the nodes of every scope, in the order of each scope; safe against edits of the node in hand."""
    for scope in scopes(model):
        yield from scope


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Whether a node is one of the named operators of the standard domain `ai.onnx`."""
    return node is not None and node.op_type in op_types and node.domain in STANDARD_DOMAINS


def has_subgraphs(node: ir.Node) -> bool:
    """Whether a node has a graph among its attributes."""
    for attribute in node.attributes.data.values():  # the plain dict within, which is walked ten times as fast
        kind = attribute.type
        if kind is _GRAPH or kind is _GRAPHS:
            return True
    return False


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """Yield the graphs that a node holds as attributes (the branches of an If, the body of a Loop)."""
    for attribute in node.attributes.data.values():
        if attribute.type is _GRAPH:
            yield attribute.as_graph()
        elif attribute.type is _GRAPHS:
            yield from attribute.as_graphs()


def captured_values(node: ir.Node) -> Iterator[ir.Value]:
    """Yield the values that a node's subgraphs read from the scopes around them."""
    for graph in subgraphs(node):
        yield from captured_by(graph)


def captured_by(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield the values that a subgraph reads from the scopes around it."""
    own = {*graph.inputs, *graph.initializers.values(), *(out for inner in graph for out in inner.outputs)}
    for inner in graph:
        yield from (value for value in reads(inner) if value not in own)
    yield from (value for value in graph.outputs if value not in own)


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """Yield every value that a node needs, those captured by its subgraphs included."""
    yield from (value for value in node.inputs if value is not None)
    yield from captured_values(node)


def operator_name(node: ir.Node) -> str:
    """Name the operator of a node, with its domain where that is not `ai.onnx`."""
    return node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}.{node.op_type}"


def label(node: ir.Node) -> str:
    """Name a node to a person: `Conv 'conv1' (-> y)`, or by its first output where it has no name."""
    output = next((value.name for value in node.outputs if value.name), "?")
    return f"{node.op_type} {node.name!r} (-> {output})" if node.name else f"{node.op_type} (-> {output})"
