"""deduplicate: compute and store equal things once."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dead import erase, erase_initializer
from graphopt.ir.edit import replace_value
from graphopt.ir.walk import label, subgraphs
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from passes.deduplicate.nodes import NodeKey, NodeKeys
from passes.deduplicate.tensors import Content, Outline, content_of, outline_of, shared_outlines


class Deduplicate(Pass):
    """Compute equal expressions once, and store equal initializers once.

    Two nodes are equal if their operators, attributes and inputs are, the inputs in any order where the
    operator commutes; two tensors if their types, shapes and bytes are, so that -0.0 is not 0.0 and a NaN
    equals itself. A subgraph reads what the graphs around it computed before it, never the reverse. Nodes that
    hold graphs are not merged, nor are those that may answer differently when asked twice.
    """

    name: ClassVar[str] = "deduplicate"

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Merge in order, so that merged inputs make equal readers in the same run."""
        outlines = shared_outlines(model)
        changes = _merge(model.graph, _Seen(outlines), NodeKeys(model, model.opset_imports), ctx)
        for function in model.functions.values():
            changes += _merge(function.graph, _Seen(outlines), NodeKeys(model, function.opset_imports), ctx)
        return changes


@dataclass(frozen=True)
class _Seen:
    """What stands earlier in a graph and in those around it; `outlines` are those that several tensors have."""

    outlines: frozenset[Outline]
    nodes: ChainMap[NodeKey, ir.Node] = field(default_factory=ChainMap)
    tensors: ChainMap[Content, ir.Value] = field(default_factory=ChainMap)

    def inside(self) -> _Seen:
        return _Seen(self.outlines, self.nodes.new_child(), self.tensors.new_child())


def _merge(graph: ir.Graph, seen: _Seen, keys: NodeKeys, ctx: Context) -> int:
    changes = _merge_initializers(graph, seen)
    for node in graph:
        changes += sum(_merge(subgraph, seen.inside(), keys, ctx) for subgraph in subgraphs(node))
        key = keys.of(node)
        original = node if key is None else seen.nodes.setdefault(key, node)
        if original is node:
            continue
        if why := keys.refusal(node):
            ctx.missed(node, f"it looks equal to {label(original)}, but {why}")
            continue
        ctx.applied(node, f"equal to {label(original)}")
        for duplicate, kept in zip(node.outputs, original.outputs, strict=True):
            replace_value(duplicate, kept)
        erase(node)
        changes += 1
    return changes


def _merge_initializers(graph: ir.Graph, seen: _Seen) -> int:
    """Replace initializers by equal ones: not those the caller may override, nor those whose name is an output's."""
    changes = 0
    values = sorted(graph.initializers.values(), key=lambda value: not value.is_graph_output())
    for value in values:
        tensor = value.const_value
        if tensor is None or value.is_graph_input() or outline_of(tensor) not in seen.outlines:
            continue
        original = seen.tensors.setdefault(content_of(tensor), value)
        if original is not value and not value.is_graph_output():
            value.replace_all_uses_with(original)
            changes += erase_initializer(value)
    return changes
