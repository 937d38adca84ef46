"""Putting the right side of a rule into the graph, and taking away the left side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from graphopt.ir.dead import erase, is_dead, is_unread
from graphopt.ir.edit import replace_value
from graphopt.ir.walk import is_op
from graphopt.rewrite.builder import Builder
from graphopt.rewrite.matcher import Match


def commit(match: Match, graph: ir.Graph, build: Builder, replacements: Sequence[ir.Value]) -> list[ir.Value]:
    """Replace the root's outputs; return the values that lost readers by it and are still there.

    New nodes stand right before the root, so that whatever the match reads is there. Then every node of the
    match goes that nothing reads, with the producers that only it has read.
    """
    root = match.root
    new = {output for node in build.nodes for output in node.outputs}
    pairs = list(zip(root.outputs, replacements, strict=False))
    for old, replacement in pairs:
        if replacement in new:
            _take_over(old, replacement)
    build.name_all()
    for value in build.initializers:
        if value.uses() or value in replacements:
            graph.register_initializer(value)
    graph.insert_before(root, build.nodes)
    for old, replacement in pairs:
        if replacement in new:
            old.replace_all_uses_with(replacement, replace_graph_outputs=True)
        else:
            replace_value(old, replacement)
    return _erase_dead(match.nodes)


def is_source(value: ir.Value) -> bool:
    """Whether a value is there without any computation: an input, an initializer or a Constant node's."""
    producer = value.producer()
    return producer is None or is_op(producer, "Constant")


def _take_over(old: ir.Value, new: ir.Value) -> None:
    new.type = new.type if old.type is None else old.type
    new.shape = new.shape if old.shape is None else old.shape
    name, old.name = old.name, None
    new.name = name


def _erase_dead(nodes: Iterable[ir.Node]) -> list[ir.Value]:
    """Remove nodes that nothing reads and what only they have read; return the values they read that stay.

    Constants all stay here: one may have thousands of readers, so they are looked at once, in the end.
    """
    pending = list(nodes)
    staying: list[ir.Value] = []
    while pending:
        node = pending.pop()
        if node.graph is None or not is_dead(node):
            continue
        for value in erase(node):
            producer = value.producer()
            if producer is not None and not is_source(value) and is_unread(value):
                pending.append(producer)
            else:
                staying.append(value)
    return staying
