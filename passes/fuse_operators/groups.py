"""Which nodes become one kernel.

A group has one node, its root, whose output is read outside; all readers of every other output are in the group.
So it is convex: a path that leaves it starts at the root, which everything in the group leads to, and coming back
it would be a cycle. What it reads is there before the root, and the root is the last of its nodes.

First each anchor takes what follows it, up to the next node that every path from it passes (its immediate
post-dominator), again and again; then groups take, from their last node backward, the elementwise nodes that only
they read. Both are linear: each use of a value is looked at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import onnx_ir as ir

from graphopt.ir.dims import same_shape
from graphopt.ir.fusible import is_anchor, is_elementwise
from graphopt.ir.walk import label
from graphopt.pipeline.context import Context
from passes.fuse_operators.cost import CostModel

WIDEST_BRANCHING = 16
"""Nodes among which paths from one value are followed until they meet: HardSwish, GELU and their like have fewer."""


class Group(NamedTuple):
    """Nodes of one kernel, in topological order; the last, its root, computes what is read outside."""

    nodes: tuple[ir.Node, ...]

    @property
    def root(self) -> ir.Node:
        """The node whose output is read outside."""
        return self.nodes[-1]


@dataclass(eq=False)
class _Growing:
    """A group while it grows: its nodes, in any order, and the values that it reads from outside."""

    root: ir.Node
    anchor: ir.Node | None
    nodes: dict[ir.Node, None] = field(default_factory=dict)
    reads: dict[ir.Value, None] = field(default_factory=dict)

    def add(self, node: ir.Node) -> None:
        """Take in a node whose output only the group reads, or that is the root."""
        self.nodes[node] = None
        self.reads = self.reads_with(node)

    def reads_with(self, *nodes: ir.Node) -> dict[ir.Value, None]:
        """Return what the group would read from outside if it had these nodes as well."""
        own = {*self.nodes, *nodes}
        values = (*self.reads, *(value for node in nodes for value in node.inputs if value is not None))
        return dict.fromkeys(value for value in values if value.producer() not in own)


def find_groups(graph: ir.Graph, cost: CostModel, ctx: Context) -> list[Group]:
    """Return the groups of two nodes and more of one graph, without the graphs in it, in the order of their roots."""
    return _Grouping(graph, cost, ctx).groups()


class _Grouping:
    """The nodes of one graph, and the groups that they are in so far."""

    def __init__(self, graph: ir.Graph, cost: CostModel, ctx: Context) -> None:
        self._graph = graph
        self._cost = cost
        self._ctx = ctx
        self._position = {node: position for position, node in enumerate(graph)}
        self._group_of: dict[ir.Node, _Growing] = {}
        self._uses: dict[ir.Value, int] = {}

    def groups(self) -> list[Group]:
        anchored = [self._begin(node, anchor=node) for node in self._graph if is_anchor(node)]
        for widening in (False, True):  # a sum that is broadcast into another's result comes second
            for growing in anchored:
                self._follow(growing, widening=widening)
        found: list[_Growing] = []
        for node in reversed(self._graph):
            group = self._begin(node, anchor=None) if self._is_free(node) else self._group_of.get(node)
            if group is not None and group.root is node:
                self._gather(group)
                found.append(group)
        ordered = (sorted(group.nodes, key=self._position.__getitem__) for group in reversed(found))
        return [Group(tuple(nodes)) for nodes in ordered if len(nodes) > 1]

    def _begin(self, node: ir.Node, *, anchor: ir.Node | None) -> _Growing:
        group = _Growing(node, anchor)
        self._add(group, node)
        return group

    def _add(self, group: _Growing, node: ir.Node) -> None:
        group.add(node)
        self._group_of[node] = group

    def _is_free(self, node: ir.Node) -> bool:
        return node in self._position and node not in self._group_of and is_elementwise(node)

    def _follow(self, group: _Growing, *, widening: bool) -> None:
        """Take in what comes after an anchor, as long as all paths meet again, and unless widening have its shape."""
        while region := self._until_paths_meet(group.root.outputs[0]):
            if not widening and not same_shape(group.root.outputs[0], region[-1].outputs[0]):
                return
            reason = self._refusal(group, region)
            if reason is not None:
                self._ctx.missed(group.root, reason)
                return
            for node in region:
                self._add(group, node)
            group.root = region[-1]
        reason = self._obstacle(group.root.outputs[0])
        if widening and reason is not None:
            self._ctx.missed(group.root, reason)

    def _until_paths_meet(self, value: ir.Value) -> list[ir.Node]:
        """Return the nodes after a value up to its immediate post-dominator, in order; none where it has none.

        In topological order the next node is the one where all paths meet when no other is waiting.
        """
        region: list[ir.Node] = []
        waiting: dict[int, ir.Node] = {}
        while len(region) < WIDEST_BRANCHING:
            readers = value.consumers()
            if not readers or value.is_graph_output() or not all(map(self._is_free, readers)):
                return []
            waiting |= {self._position[reader]: reader for reader in readers}
            node = waiting.pop(min(waiting))
            region.append(node)
            if not waiting:
                return region
            value = node.outputs[0]
        return []

    def _refusal(self, group: _Growing, region: Sequence[ir.Node]) -> str | None:
        """Return why a group should not grow by the nodes of a region."""
        result = region[-1].outputs[0]
        for node in (*group.nodes, *region[:-1]):
            reason = self._cost.refuse(node.outputs[0], result)
            if reason is not None:
                return reason
        return self._cost.refuse_size([*group.nodes, *region], group.reads_with(*region))

    def _obstacle(self, value: ir.Value) -> str | None:
        """Return why nothing after a value is in its kernel, if there is anything that could be."""
        readers = value.consumers()
        taken = next((group for reader in readers if (group := self._group_of.get(reader)) and group.anchor), None)
        if taken is not None and taken.anchor is not None and taken.anchor not in readers:
            return f"{value.name!r} is read by the kernel of {label(taken.anchor)}, and a kernel has one such node"
        if not any(map(self._is_free, readers)):
            return None
        if value.is_graph_output():
            return f"{value.name!r} is an output of the graph, so it has to be stored"
        return f"{value.name!r} is read by several nodes, whose paths do not meet in one kernel"

    def _gather(self, group: _Growing) -> None:
        """Take in, from the root backward, the elementwise nodes that only the group reads."""
        uses_within: Counter[ir.Value] = Counter()
        pending = [node for node in group.nodes if node is not group.anchor]
        while pending:
            for value in pending.pop().inputs:
                producer = None if value is None else value.producer()
                if value is None or producer is None or not self._is_free(producer):
                    continue
                uses_within[value] += 1
                if value.is_graph_output() or uses_within[value] < self._count_uses(value):
                    continue
                reason = self._cost.refuse(value, group.root.outputs[0]) or self._cost.refuse_size(
                    [*group.nodes, producer], group.reads_with(producer)
                )
                if reason is not None:
                    self._ctx.missed(producer, reason)
                    continue
                self._add(group, producer)
                pending.append(producer)

    def _count_uses(self, value: ir.Value) -> int:
        if value not in self._uses:
            self._uses[value] = len(value.uses())
        return self._uses[value]
