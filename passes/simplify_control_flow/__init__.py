"""simplify-control-flow: decide now what every run decides alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dead import is_dead
from graphopt.ir.edit import Names
from graphopt.ir.walk import has_subgraphs, is_op, subgraphs
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from passes.simplify_control_flow.branches import drop_outputs, splice_branch
from passes.simplify_control_flow.loop import loop_of
from passes.simplify_control_flow.site import NAME, Scope
from passes.simplify_control_flow.states import capture_unchanging, drop_unread
from passes.simplify_control_flow.unroll import unroll


@dataclass(frozen=True)
class SimplifyControlFlow(Pass):
    """Turn If and Loop into straight code where every run takes the same way, and shrink them elsewhere.

    An If whose condition is constant becomes the branch taken. A Loop whose number of turns is constant becomes
    its turns. What both branches take from outside alike, what no turn changes and what nothing reads
    is not computed by them.

    Attributes:
        max_nodes: a Loop that would be more nodes than this stays one.

    """

    name: ClassVar[str] = NAME

    max_nodes: int = 1024

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Sweep until nothing changes: what one node no longer reads, an earlier one need not compute."""
        functions = model.functions.values()
        if not any(map(has_subgraphs, chain(model.graph, *functions))):
            return 0
        names = Names(model)
        roots = [
            (model.graph, Scope(names, model.opset_imports.get("", 0), None)),
            *((each.graph, Scope(names, each.opset_imports.get("", 0), each.graph)) for each in functions),
        ]
        changes = 0
        for graph, scope in roots:
            while found := self._sweep(graph, scope, ctx):
                changes += found
        return changes

    def _sweep(self, graph: ir.Graph, scope: Scope, ctx: Context) -> int:
        """Go through a graph, into each node first: what is in it may decide what it is."""
        changes = 0
        pending = [node for node in reversed(graph) if has_subgraphs(node)]
        while pending:
            node = pending.pop()
            if node.graph is None or is_dead(node):
                continue
            changes += sum(self._sweep(subgraph, scope, ctx) for subgraph in subgraphs(node))
            left = self._simplify(node, scope, ctx)
            if left is not None:
                pending += filter(has_subgraphs, reversed(left))
                changes += 1
        return changes

    def _simplify(self, node: ir.Node, scope: Scope, ctx: Context) -> list[ir.Node] | None:
        """Return the nodes that take the place of one, None where it stays."""
        if is_op(node, "If"):
            spliced = splice_branch(node, scope, ctx)
            return drop_outputs(node, ctx) if spliced is None else spliced
        loop = loop_of(node) if is_op(node, "Loop") else None
        if loop is None:
            return None
        unrolled = unroll(loop, scope, self.max_nodes, ctx)
        if unrolled is not None:
            return unrolled
        captured = capture_unchanging(loop, ctx)
        return drop_unread(loop, ctx) if captured is None else captured
