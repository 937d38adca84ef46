"""Matching the neighbours of what is matched, along the edges of two graphs.

A neighbour that is alone in its role on both sides is matched at once. What has rivals waits until nothing else moves:
most of them are told apart by then, from another of their neighbours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import onnx_ir as ir

from graphopt.inspect.diff.scope import reads

if TYPE_CHECKING:
    from graphopt.inspect.diff.matching import Matching, Side

Roles = dict[Hashable, list[ir.Node]]
Pair = tuple[ir.Node, ir.Node]
Ends = Sequence[tuple[ir.Value, ir.Value]]


class _Rivals(NamedTuple):
    before: list[ir.Node]
    after: list[ir.Node]


def propagate(found: Matching, level: str, ends: Ends, since: Iterable[Pair] | None = None) -> None:
    """Match the open neighbours of matched nodes, of inputs, and the makers of outputs (`ends`).

    `level` names the number of `Signatures` that neighbours have to share; `since` holds the matches to begin at, None
    all of them and the borders of the graph.
    """
    if since is None:
        propagation = _Propagation(found, level, found.pairs)
        propagation.look_inside(ends)
    else:
        propagation = _Propagation(found, level, since)
    propagation.run()


class _Propagation:
    def __init__(self, found: Matching, level: str, since: Iterable[Pair]) -> None:
        self._found = found
        self._level = level
        self._queue = deque(since)
        self._rivals: deque[_Rivals] = deque()

    def look_inside(self, ends: Ends) -> None:
        """Match what reads inputs and captured values, and what makes outputs."""
        for made, twin in ends:
            self._compare(self._maker(made, True), self._maker(twin, False))
        for value, image in tuple(self._found.values.items()):
            if value.producer() not in self._found.before.prints.alone:
                self._compare(self._read_by(value, before=True), self._read_by(image, before=False))

    def run(self) -> None:
        """Go on from match to match until nothing moves."""
        while self._queue or self._rivals:
            if self._queue:
                one, other = self._queue.popleft()
                self._compare(self._neighbours(one, before=True), self._neighbours(other, before=False))
            else:
                self._settle(self._rivals.popleft())

    def _add(self, one: ir.Node, other: ir.Node) -> None:
        self._found.add(one, other)
        self._queue.append((one, other))

    def _is_open(self, node: ir.Node | None, before: bool) -> bool:
        found = self._found
        if before:
            return node is not None and node not in found.nodes and node in found.before.prints.alone
        return node is not None and node not in found.matched and node in found.after.prints.alone

    def _signature(self, node: ir.Node, before: bool) -> int:
        side = self._found.before if before else self._found.after
        return int(getattr(side.prints.alone[node], self._level))

    def _neighbours(self, node: ir.Node, *, before: bool) -> Roles:
        """Return the open neighbours of a node by their role towards it and their signature."""
        roles: Roles = {}
        for slot, value in reads(node):
            for key, makers in self._maker(value, before).items():
                roles.setdefault((slot, key), []).extend(makers)
        for index, value in enumerate(node.outputs):
            for key, readers in self._read_by(value, before=before).items():
                roles.setdefault((index, key), []).extend(readers)
        return roles

    def _maker(self, value: ir.Value, before: bool) -> Roles:
        maker = value.producer()
        if maker is None or not self._is_open(maker, before):
            return {}
        return {("maker", value.index(), self._signature(maker, before)): [maker]}

    def _read_by(self, value: ir.Value, *, before: bool) -> Roles:
        side = self._found.before if before else self._found.after
        roles: Roles = {}
        for reader in side.scope.readers.get(value, ()):
            if self._is_open(reader.node, before):
                key = ("reader", reader.slot, self._signature(reader.node, before))
                roles.setdefault(key, []).append(reader.node)
        return roles

    def _compare(self, before: Roles, after: Roles) -> None:
        for key, nodes in before.items():
            ones, others = self._open(nodes, before=True), self._open(after.get(key, ()), before=False)
            if len(ones) == len(others) == 1:
                self._add(ones[0], others[0])
            elif ones and others:
                self._rivals.append(_Rivals(ones, others))

    def _open(self, nodes: Iterable[ir.Node], *, before: bool) -> list[ir.Node]:
        return [node for node in dict.fromkeys(nodes) if self._is_open(node, before)]

    def _settle(self, rivals: _Rivals) -> None:
        """Match what still has rivals: by place, by the future, by matched neighbours, by name, then in order."""
        found = self._found
        keys: tuple[Callable[[Side, ir.Node], Hashable], ...] = (
            lambda side, node: side.prints.alone[node].content,
            lambda side, node: side.prints.place[node],
            lambda side, node: side.prints.place[node][1],
            self._matched_neighbours,
            lambda _, node: node.name,
            lambda *_: None,
        )
        for key in keys:
            ones, others = self._open(rivals.before, before=True), self._open(rivals.after, before=False)
            groups: dict[Hashable, _Rivals] = {}
            for node in ones:
                groups.setdefault(key(found.before, node), _Rivals([], [])).before.append(node)
            for node in others:
                groups.setdefault(key(found.after, node), _Rivals([], [])).after.append(node)
            last = key is keys[-1]
            matched = False
            for group in groups.values():
                if last or len(group.before) == len(group.after) == 1:
                    for one, other in zip(group.before, group.after, strict=False):
                        self._add(one, other)
                        matched = True
            if matched and not last:
                self._rivals.append(rivals)  # what these lead to may tell the others apart
                return

    def _matched_neighbours(self, side: Side, node: ir.Node) -> Hashable:
        """Return which neighbours of a node are matched, in the terms of the side after."""
        found = self._found
        seen: list[int] = []
        for _, value in reads(node):
            maker = value.producer()
            twin = found.nodes.get(maker) if side is found.before and maker is not None else maker
            if twin in found.matched:
                seen.append(id(twin))
        for value in node.outputs:
            for reader in side.scope.readers.get(value, ()):
                twin = found.nodes.get(reader.node) if side is found.before else reader.node
                if twin in found.matched:
                    seen.append(id(twin))
        return tuple(sorted(seen))
