"""Matching across what was removed or added: the next like node behind nodes that have no counterpart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import onnx_ir as ir

from graphopt.inspect.diff.propagation import Ends, propagate
from graphopt.inspect.diff.scope import reads

if TYPE_CHECKING:
    from graphopt.inspect.diff.matching import Matching, Side

_HOPS = 4
_MOST = 24
"""Nodes that a search looks at; a hub with more readers says little of any of them."""

_LEVELS = ("form", "local", "operator")
Role = tuple[str, int]
Starts = dict[Role, list[ir.Node]]
Reached = dict[int, list[tuple[int, ir.Node]]]


def bridge(found: Matching, ends: Ends) -> None:
    """Match the nearest nodes alike behind gaps, and from each what hangs on it."""
    borders = [(one, other) for one, other in found.values.items() if one.producer() is None]
    for one, other in borders:
        start = {("readers", 0): _readers(found.before, one)}, {("readers", 0): _readers(found.after, other)}
        _bridge_all(found, *start, ends)
    for one, other in ends:
        _bridge_all(found, {("makers", 0): _makers([one])}, {("makers", 0): _makers([other])}, ends)
    queue = deque(found.pairs)
    while queue:
        pair = queue.popleft()
        starts = _around(found.before, pair[0]), _around(found.after, pair[1])
        queue.extend(_bridge_all(found, *starts, ends))


def _bridge_all(found: Matching, before: Starts, after: Starts, ends: Ends) -> list[tuple[ir.Node, ir.Node]]:
    """Match across the gaps beside two matched nodes as long as there is something; return what was matched."""
    made: list[tuple[ir.Node, ir.Node]] = []
    for role in before.keys() & after.keys():
        while (pair := _nearest(found, role[0], before[role], after[role])) is not None:
            known = len(found.pairs)
            found.add(*pair)
            for level in _LEVELS:
                propagate(found, level, ends, [pair])
            made += found.pairs[known:]
    return made


def _nearest(
    found: Matching, direction: str, before: Iterable[ir.Node], after: Iterable[ir.Node]
) -> tuple[ir.Node, ir.Node] | None:
    """Return the open nodes alike that are nearest to where two searches start, each the only one at its distance."""
    ones, others = (
        list(_search(found, found.before, direction, before)),
        list(_search(found, found.after, direction, after)),
    )
    for level in _LEVELS:
        left, right = _only(found.before, level, ones), _only(found.after, level, others)
        pairs = [(left[key][0] + right[key][0], left[key][1], right[key][1]) for key in left.keys() & right.keys()]
        if pairs:
            return min(pairs, key=lambda pair: pair[0])[1:]
    return None


def _only(side: Side, level: str, reached: Iterable[tuple[int, ir.Node]]) -> dict[int, tuple[int, ir.Node]]:
    """Return, by signature, the nearest of each kind that has no rival as near as it."""
    nearest: Reached = {}
    for distance, node in reached:
        nearest.setdefault(int(getattr(side.prints.alone[node], level)), []).append((distance, node))
    return {key: nodes[0] for key, nodes in nearest.items() if len(nodes) == 1 or nodes[0][0] < nodes[1][0]}


def _search(found: Matching, side: Side, direction: str, starts: Iterable[ir.Node]) -> Iterator[tuple[int, ir.Node]]:
    """Yield the open nodes that are reached through open ones, the nearest first."""
    taken = found.nodes if side is found.before else found.matched
    queue = deque((1, node) for node in starts)
    seen: set[ir.Node] = set()
    while queue and len(seen) < _MOST:
        distance, node = queue.popleft()
        if node in seen or node in taken or node not in side.prints.alone:
            continue
        seen.add(node)
        yield distance, node
        if distance < _HOPS:
            ways = _makers(value for _, value in reads(node)) if direction == "makers" else _next(side, node)
            queue.extend((distance + 1, way) for way in ways)


def _around(side: Side, node: ir.Node) -> Starts:
    starts: Starts = {}
    for slot, value in reads(node):
        starts.setdefault(("makers", slot), []).extend(_makers([value]))
    for index, value in enumerate(node.outputs):
        starts["readers", index] = _readers(side, value)
    return {role: nodes for role, nodes in starts.items() if nodes}


def _makers(values: Iterable[ir.Value]) -> list[ir.Node]:
    return [maker for value in values if (maker := value.producer()) is not None]


def _readers(side: Side, value: ir.Value) -> list[ir.Node]:
    return [reader.node for reader in side.scope.readers.get(value, ())[:_MOST]]


def _next(side: Side, node: ir.Node) -> list[ir.Node]:
    return [reader for value in node.outputs for reader in _readers(side, value)]
