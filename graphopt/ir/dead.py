"""Removing what nothing reads."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from graphopt.ir.walk import nodes_within, subgraphs


def is_unread(value: ir.Value) -> bool:
    """Whether no node reads the value, in any scope, and it is no graph output."""
    return not value.uses() and not value.is_graph_output()


def is_dead(node: ir.Node) -> bool:
    """Whether nothing reads any output of a node. One without outputs exists for its effect, so it lives."""
    return bool(node.outputs) and all(map(is_unread, node.outputs))


def erase(node: ir.Node) -> list[ir.Value]:
    """Remove a dead node with the graphs in it; return the values that it read, which may be dead now."""
    read = _detach(node)
    if node.graph is not None:
        node.graph.remove(node)
    return read


def erase_initializer(value: ir.Value) -> bool:
    """Remove an initializer that nothing reads; one that is also a graph input belongs to the caller."""
    graph = value.graph
    if not value.is_initializer() or value.is_graph_input() or not is_unread(value) or not isinstance(graph, ir.Graph):
        return False
    del graph.initializers[str(value.name)]
    return True


def erase_unread(values: Iterable[ir.Value]) -> int:
    """Remove the nodes and initializers behind `values` that nothing reads, and in turn what only they read.

    The number removed is returned; the cost is linear in it.
    """
    removed = 0
    sources: dict[ir.Value, None] = {}
    pending = list(values)
    while pending:
        value = pending.pop()
        producer = value.producer()
        if producer is None:
            sources[value] = None  # looked at once, in the end: a shared weight may have thousands of readers
        elif producer.graph is not None and is_dead(producer):
            pending.extend(erase(producer))
            removed += 1
    return removed + sum(map(erase_initializer, sources))


def erase_uncalled(model: ir.Model) -> int:
    """Remove the functions that neither the main graph nor a function in use calls; return how many."""
    used: set[ir.OperatorIdentifier] = set()
    pending = [model.graph]
    while pending:
        for node in nodes_within(pending.pop()):
            called = node.op_identifier()
            if called in model.functions and called not in used:
                used.add(called)
                pending.append(model.functions[called].graph)
    unused = [identifier for identifier in model.functions if identifier not in used]
    for identifier in unused:
        del model.functions[identifier]
    return len(unused)


def _detach(node: ir.Node) -> list[ir.Value]:
    read: list[ir.Value] = []
    pending = [node]
    while pending:
        current = pending.pop()
        for subgraph in subgraphs(current):
            pending.extend(subgraph)
        for index, value in enumerate(current.inputs):
            if value is not None:
                read.append(value)
                current.replace_input_with(index, None)
    return read
