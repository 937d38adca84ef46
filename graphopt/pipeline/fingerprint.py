"""A cheap answer to: did anything in this model change?"""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.walk import has_subgraphs, subgraphs


def fingerprint(model: ir.Model) -> int:
    """Return a hash of structure, names, types and the identity of tensors and attributes.

    Equal before and after means untouched, within one process and as long as both states were alive: it
    looks at which objects stand where, not at the content of tensors.
    """
    parts: list[object] = [tuple(model.functions), tuple(model.opset_imports.items())]
    for root in (model.graph, *(function.graph for function in model.functions.values())):
        _collect(root, parts)
    return hash(tuple(parts))


def _collect(graph: ir.Graph, parts: list[object]) -> None:
    """Add the state of a graph and of those nested in it, in one walk: it is asked for after every pass."""
    parts.append(tuple(map(id, graph.inputs)))
    parts.append(tuple(map(id, graph.outputs)))
    parts.extend([(name, id(value.const_value)) for name, value in graph.initializers.data.items()])
    for node in graph:
        parts.append(_node_state(node))
        if has_subgraphs(node):
            for subgraph in subgraphs(node):
                _collect(subgraph, parts)


def _node_state(node: ir.Node) -> object:
    return (
        id(node),
        node.op_type,
        node.domain,
        tuple(map(id, node.inputs)),
        tuple([(value.name, value.type, None if value.shape is None else value.shape.dims) for value in node.outputs]),
        tuple(map(id, node.attributes.data.values())),
    )
