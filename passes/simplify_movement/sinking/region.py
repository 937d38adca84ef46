"""The nodes below a Transpose that can run before it, and whether that pays."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx_ir as ir

from graphopt.ir.traits import has_references
from graphopt.ir.walk import is_op
from passes.simplify_movement.facts import Permutation, dims, inverse, is_identity, permutation, producer
from passes.simplify_movement.sinking.layouts import LAYOUTS, Move, Place

LARGEST = 256
"""Nodes in a region; the bound keeps the search linear in the size of the model."""

Cost = tuple[int, int]
"""How many Transposes there are, and how many elements they move, a size that only a run tells counting as 1."""


@dataclass
class Region:
    """Nodes that could run on untransposed values, in topological order, and what that would take.

    Attributes:
        opset: the version of `ai.onnx` in force.
        transposes: the Transposes that nodes of the region read; their readers read past them.
        moves: what changes in each node.
        perms: for each transposed value, what transposes the untransposed one to it.

    """

    graph: ir.Graph
    opset: int
    transposes: dict[ir.Node, None] = field(default_factory=dict)
    moves: dict[ir.Node, Move] = field(default_factory=dict)
    perms: dict[ir.Value, Permutation] = field(default_factory=dict)

    def saving(self) -> Cost:
        """Return what the model would have less: positive, in this order, means that it pays."""
        after = [self._cost(value) for value in self.perms]
        before = [_moved(transpose.outputs[0]) for transpose in self.transposes]
        return len(before) - sum(count for count, _ in after), sum(before) - sum(moved for _, moved in after)

    def _cost(self, value: ir.Value) -> Cost:
        """Return the Transposes that a value needs, less those of its readers that go."""
        if is_identity(self.perms[value]):
            return 0, 0
        outside = [reader for reader in value.consumers() if reader not in self.moves]
        undone = [reader for reader in outside if self._undoes(reader, value)]
        needed = value.is_graph_output() or any(self._is_barrier(reader) for reader in outside)
        moved = sum(_moved(reader.outputs[0]) for reader in undone)
        return needed - len(undone), needed * _moved(value) - moved

    def _is_barrier(self, reader: ir.Node) -> bool:
        return reader.graph is not self.graph or not is_op(reader, "Transpose") or has_references(reader)

    def _undoes(self, reader: ir.Node, value: ir.Value) -> bool:
        perm = self.perms[value]
        return not self._is_barrier(reader) and permutation(reader, len(perm)) == inverse(perm)

    def trim(self) -> None:
        """Give back, from the bottom up, each node that costs as much in the region as outside of it."""
        order = list(self.moves)
        for node in reversed(order):
            if any(reader in self.moves for output in node.outputs for reader in output.consumers()):
                continue
            touched = {value: self.perms[value] for value in (*node.inputs, *node.outputs) if value in self.perms}
            inside, move = self._sum(touched), self.moves.pop(node)
            left = [value for value in touched if value.producer() is not node]
            if self._sum(left) > inside:
                self.moves[node] = move
            else:
                for output in node.outputs:
                    del self.perms[output]
        self.moves = {node: self.moves[node] for node in order if node in self.moves}

    def _sum(self, values: Iterable[ir.Value]) -> Cost:
        costs = [self._cost(value) for value in values]
        return sum(count for count, _ in costs), sum(moved for _, moved in costs)


def grow(seed: ir.Node, opset: int) -> Region | None:
    """Return all that can run before the Transpose `seed`, with the other Transposes that then go, or None."""
    perm = permutation(seed)
    if perm is None or is_identity(perm) or seed.graph is None or not isinstance(seed.graph, ir.Graph):
        return None
    region = Region(seed.graph, opset)
    queue: deque[ir.Node] = deque()
    _join(region, seed, perm, queue)
    while queue and len(region.moves) < LARGEST:
        node = queue.popleft()
        if node in region.moves or node.graph is not region.graph:
            continue
        move = _admit(region, node, queue)
        if move is None:
            continue
        region.moves[node] = move
        for output in node.outputs:
            region.perms[output] = move.perm
            if not is_identity(move.perm):
                queue.extend(output.consumers())
    return None if any(transpose.inputs[0] in region.perms for transpose in region.transposes) else region


def _join(region: Region, transpose: ir.Node, perm: Permutation, queue: deque[ir.Node]) -> None:
    region.transposes[transpose] = None
    region.perms[transpose.outputs[0]] = perm
    queue.extend(transpose.outputs[0].consumers())


def _admit(region: Region, node: ir.Node, queue: deque[ir.Node]) -> Move | None:
    """Return how a node runs on untransposed inputs; Transposes of the same kind beside it join the region."""
    layout = LAYOUTS.get(node.op_type)
    if layout is None or not is_op(node, node.op_type) or has_references(node):
        return None
    joining: dict[int, ir.Node] = {}
    perms: dict[int, Permutation] = {}
    for index, value in enumerate(node.inputs):
        if value is None:
            continue
        beside = producer(value, "Transpose")
        perm = region.perms.get(value)
        if perm is None and beside is not None and beside.graph is region.graph:
            perm, joining[index] = permutation(beside), beside
        if perm is not None and not is_identity(perm):
            perms[index] = perm
    if len(set(perms.values())) != 1:
        return None
    (perm,) = set(perms.values())
    move = layout(Place(node, perm, frozenset(perms), region.opset))
    if move is not None:
        for index, transpose in joining.items():
            if index in perms:
                _join(region, transpose, perm, queue)
    return move


def _moved(value: ir.Value) -> int:
    return math.prod(dim for dim in dims(value) or () if isinstance(dim, int))
