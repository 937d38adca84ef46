"""Which node of one scope is which of the other, found by structure.

Nodes that compute the same from the inputs belong together; then those that alone have the same future; then those
that alone hold the same weights, or the same place among constants of the same shapes; then neighbours of what is
matched, first of the same attributes and shapes, then of the same operator; then the next like nodes behind others that
were removed or added. The order is that of GumTree (Falleri et
al., ASE 2014): sure anchors first, what hangs on them next. Linear but for sorting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.inspect.diff.fingerprints import Fingerprints
from graphopt.inspect.diff.gaps import bridge
from graphopt.inspect.diff.propagation import propagate
from graphopt.inspect.diff.scope import Scope, is_commutative
from graphopt.ir.constants import constant_tensor

_WEIGHTY = 16
"""Elements of constants from which on equal ones are no accident."""


@dataclass(frozen=True)
class Side:
    """A scope and its numbers."""

    scope: Scope
    prints: Fingerprints


class Matching:
    """A bijection between some nodes of two scopes, and the values that follow from it.

    Attributes:
        before, after: the two sides.
        nodes: of the scope before to those of the scope after.
        matched: those of the scope after.
        pairs: all matches, in the order in which they were found.
        values: of the scope before, with what it captures, to those of the scope after.

    """

    def __init__(self, before: Side, after: Side, values: Mapping[ir.Value, ir.Value]) -> None:
        self.before, self.after = before, after
        self.nodes: dict[ir.Node, ir.Node] = {}
        self.matched: set[ir.Node] = set()
        self.pairs: list[tuple[ir.Node, ir.Node]] = []
        self.values = dict(values)

    def add(self, one: ir.Node, other: ir.Node) -> None:
        """Match two nodes."""
        self.nodes[one] = other
        self.matched.add(other)
        self.pairs.append((one, other))
        self.values.update(zip(one.outputs, other.outputs, strict=False))

    def open_before(self) -> Iterable[ir.Node]:
        """Yield the nodes before that are not matched yet."""
        return (node for node in self.before.scope.nodes if node not in self.nodes)

    def open_after(self) -> Iterable[ir.Node]:
        """Yield the nodes after that are not matched yet."""
        return (node for node in self.after.scope.nodes if node not in self.matched)


def match(before: Side, after: Side, values: Mapping[ir.Value, ir.Value]) -> Matching:
    """Match the nodes of two scopes; `values` holds inputs and captured values that are known to belong together."""
    found = Matching(before, after, values)
    ends = [
        (one, other)
        for one, other in zip(before.scope.outputs, after.scope.outputs, strict=False)
        if one is not None and other is not None
    ]
    one, other = before.prints, after.prints
    _match_equals(found, lambda side, node: (side.prints.inward[node], side.prints.outward[node]))
    _match_equals(found, lambda side, node: side.prints.inward[node])
    _anchor(found, one.outward.get, other.outward.get)
    _anchor(found, _weighty(one), _weighty(other))
    _anchor(found, one.place.get, other.place.get)
    for level in ("content", "form", "local", "operator"):
        propagate(found, level, ends)
    bridge(found, ends)
    _anchor(found, lambda node: one.alone[node].content, lambda node: other.alone[node].content)
    propagate(found, "operator", ends)
    return found


def _match_equals(found: Matching, key_of: Callable[[Side, ir.Node], Hashable]) -> None:
    """Match nodes of equal keys, of which there may be several: those that read what is matched, then by name."""
    exact: dict[Hashable, list[ir.Node]] = {}
    loose: dict[Hashable, list[ir.Node]] = {}
    for node in reversed(list(found.open_after())):  # lists are taken from their ends
        key, operands = key_of(found.after, node), _operands(node, None)
        for index, entry in ((exact, (key, operands, node.name)), (exact, (key, operands)), (loose, key)):
            index.setdefault(entry, []).append(node)
    for node in list(found.open_before()):
        key = key_of(found.before, node)
        if key not in loose:
            continue
        operands = _operands(node, found.values)
        lists = exact.get((key, operands, node.name)), exact.get((key, operands)), loose[key]
        twin = next((free for nodes in lists if nodes and (free := _last_free(nodes, found.matched))), None)
        if twin is not None:
            found.add(node, twin)


def _operands(node: ir.Node, images: Mapping[ir.Value, ir.Value] | None) -> tuple[int, ...]:
    """Return the identities of what a node reads, on the side after; constants count as nothing."""
    read: list[int] = []
    for value in node.inputs:
        image = value if images is None or value is None else images.get(value)
        read.append(0 if image is None or image.is_initializer() else id(image))
    return tuple(sorted(read) if is_commutative(node) else read)


def _last_free(nodes: list[ir.Node], taken: set[ir.Node]) -> ir.Node | None:
    while nodes and nodes[-1] in taken:
        nodes.pop()
    return nodes[-1] if nodes else None


def _anchor(
    found: Matching, key_before: Callable[[ir.Node], Hashable], key_after: Callable[[ir.Node], Hashable]
) -> None:
    """Match nodes whose key no other of their side has, among those that are open."""
    ones = {node: key for node in found.open_before() if (key := key_before(node)) is not None}
    others = {node: key for node in found.open_after() if (key := key_after(node)) is not None}
    count_before, count_after = Counter(ones.values()), Counter(others.values())
    by_key = {key: node for node, key in others.items() if count_after[key] == 1}
    for node, key in ones.items():
        if count_before[key] == 1 and key in by_key:
            found.add(node, by_key[key])


def _weighty(prints: Fingerprints) -> Callable[[ir.Node], Hashable]:
    """Return the key of a node alone, None where its constants are too small to tell it from others."""

    def key(node: ir.Node) -> Hashable:
        tensors = (constant_tensor(value) for value in node.inputs)
        large = any(tensor is not None and tensor.size >= _WEIGHTY for tensor in tensors)
        return prints.alone[node].content if large else None

    return key
