"""The nodes below a Transpose that can run before it, and whether that pays."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from graphopt.ir.traits import has_references
from graphopt.ir.walk import is_op
from passes.simplify_movement.facts import Permutation, dims, inverse, is_identity, permutation, producer
from passes.simplify_movement.sinking.layouts import LAYOUTS
from passes.simplify_movement.sinking.place import Move, Place

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
        """Give back, from the bottom up, each node that costs as much in the region as outside of it.

        What one gives back may let those go that make its inputs, and those that read them too.
        """
        order = list(self.moves)
        pending = list(order)
        while pending:
            node = pending.pop()
            if node in self.moves and not self._is_read_inside(node) and self._give_back(node):
                pending.extend(_around(node))
        self.moves = {node: self.moves[node] for node in order if node in self.moves}

    def _is_read_inside(self, node: ir.Node) -> bool:
        return any(reader in self.moves for output in node.outputs for reader in output.consumers())

    def _give_back(self, node: ir.Node) -> bool:
        touched = {value: self.perms[value] for value in (*node.inputs, *node.outputs) if value in self.perms}
        inside, move = self._sum(touched), self.moves.pop(node)
        if self._sum([value for value in touched if value.producer() is not node]) > inside:
            self.moves[node] = move
            return False
        for output in node.outputs:
            del self.perms[output]
        return True

    def _sum(self, values: Iterable[ir.Value]) -> Cost:
        costs = [self._cost(value) for value in values]
        return sum(count for count, _ in costs), sum(moved for _, moved in costs)


def grow(seeds: Sequence[ir.Node], opset: int) -> tuple[list[Region], list[ir.Node]]:
    """Return the regions below Transposes of one permutation in one graph, and those that read from a region.

    The seeds stand in topological order. A node between two of them belongs to a region as soon as all that it
    reads does, so branches that meet below grow together.
    """
    graph, perm, left = seeds[0].graph, permutation(seeds[0]), list[ir.Node]()
    if not isinstance(graph, ir.Graph) or perm is None or is_identity(perm):
        return [], []
    whole = Region(graph, opset)
    for seed in seeds:
        if seed.inputs[0] in whole.perms:
            left.append(seed)
        else:
            _spread(whole, _join(whole, seed, perm), perm)
    return _parts(whole), left


def _spread(region: Region, readers: Iterable[ir.Node], seeded: Permutation) -> None:
    queue = deque(readers)
    while queue:
        node = queue.popleft()
        if node in region.moves or node.graph is not region.graph:
            continue
        found = _admitted(region, node, seeded)
        if found is None:
            continue
        move, beside = found
        for transpose in beside:
            queue.extend(_join(region, transpose, permutation(transpose)))
        region.moves[node] = move
        for output in node.outputs:
            region.perms[output] = move.perm
            if not is_identity(move.perm):
                queue.extend(output.consumers())


def _join(region: Region, transpose: ir.Node, perm: Permutation | None) -> Sequence[ir.Node]:
    region.transposes[transpose] = None
    region.perms[transpose.outputs[0]] = perm or ()
    return transpose.outputs[0].consumers()


def _admitted(region: Region, node: ir.Node, seeded: Permutation) -> tuple[Move, list[ir.Node]] | None:
    """Return how a node runs on untransposed inputs, and which Transposes beside it, not seeded, go with it."""
    layout = LAYOUTS.get(node.op_type)
    if layout is None or not is_op(node, node.op_type) or has_references(node):
        return None
    beside: list[ir.Node] = []
    perms: dict[int, Permutation] = {}
    for index, value in enumerate(node.inputs):
        transpose = producer(value, "Transpose")
        perm = None if value is None else region.perms.get(value)
        if perm is None and transpose is not None and transpose.graph is region.graph:
            perm = permutation(transpose)
            if perm == seeded or transpose.inputs[0] in region.perms:
                return None
            beside.append(transpose)
        if perm is not None and not is_identity(perm):
            perms[index] = perm
    if len(set(perms.values())) != 1:
        return None
    (perm,) = set(perms.values())
    move = layout(Place(node, perm, frozenset(perms), region.opset))
    return None if move is None else (move, [one for one in beside if permutation(one) == perm])


def _parts(whole: Region) -> list[Region]:
    """Return the connected parts of a region, without those that a Transpose of theirs reads from."""
    part_of: dict[ir.Node, Region] = {}
    for transpose in whole.transposes:
        if transpose not in part_of:
            part, pending = Region(whole.graph, whole.opset), [transpose]
            while pending:
                node = pending.pop()
                if node not in part_of:
                    part_of[node] = part
                    pending.extend(_neighbours(whole, node))
    for transpose in whole.transposes:
        part_of[transpose].transposes[transpose] = None
    for node, move in whole.moves.items():
        part_of[node].moves[node] = move
    for value, perm in whole.perms.items():
        maker = value.producer()
        if maker is not None:
            part_of[maker].perms[value] = perm
    parts = {id(part): part for part in part_of.values()}.values()
    return [part for part in parts if not any(one.inputs[0] in whole.perms for one in part.transposes)]


def _neighbours(whole: Region, node: ir.Node) -> Iterator[ir.Node]:
    for output in node.outputs:
        yield from (reader for reader in output.consumers() if reader in whole.moves)
    for value in node.inputs if node in whole.moves else ():
        maker = None if value is None else value.producer()
        if maker is not None and value in whole.perms:
            yield maker


def _moved(value: ir.Value) -> int:
    return math.prod(dim for dim in dims(value) or () if isinstance(dim, int))


def _around(node: ir.Node) -> Iterator[ir.Node]:
    """Yield the makers and the other readers of what a node reads."""
    for value in node.inputs:
        if value is not None:
            yield from value.consumers()
            if maker := value.producer():
                yield maker
