"""The differences between two models: every pair of scopes matched, and what is left put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import onnx_ir as ir

from graphopt.inspect.diff.fingerprints import Fingerprinter
from graphopt.inspect.diff.functions import Functions, contents_of, pair_functions
from graphopt.inspect.diff.interface import Pairs, Types, compare_interface, interface_notes, pairings
from graphopt.inspect.diff.matching import Matching, Side, match
from graphopt.inspect.diff.numbers import Numbers
from graphopt.inspect.diff.record import ChangedConstant, ChangedNode, ChangedOpset, Diff
from graphopt.inspect.diff.scope import Scope
from graphopt.inspect.diff.weights import reweighted
from graphopt.inspect.diff.wiring import Past, Reading, Wiring, source
from graphopt.ir.constants import constant_tensor, is_constant
from graphopt.ir.walk import label, operator_name

_SHOWN = 3
"""Readers of a node that a record names."""


class Compared(NamedTuple):
    """What differs between two models, and which of their nodes are the same."""

    diff: Diff
    pairs: list[tuple[ir.Node, ir.Node]]


def compare(before: ir.Model, after: ir.Model, past: Past = lambda _: ()) -> Compared:
    """Compare two verified models; see `graphopt.diff`. `past` names the rewrites that made a node."""
    numbers = Numbers()
    functions = pair_functions(numbers, before, after)
    comparison = _Comparison(numbers, before, after, functions, past)
    comparison.main(before.graph, after.graph)
    comparison.opsets("", before.opset_imports, after.opset_imports)
    for one, other in functions.pairs:
        left, right = before.functions[one], after.functions[other]
        where = f"function {_named(one)}"
        comparison.opsets(where, left.opset_imports, right.opset_imports)
        comparison.inner(where, left.graph, right.graph, None)
        if one != other:
            comparison.found.notes.append(f"{where} is named {_named(other)}")
    comparison.weights()
    comparison.found.removed_functions.extend(map(_named, functions.removed))
    comparison.found.added_functions.extend(map(_named, functions.added))
    return Compared(comparison.found.to_diff(), comparison.pairs)


@dataclass
class _Found:
    """The lists of a `Diff` while they grow."""

    removed: list[Any] = field(default_factory=list)
    added: list[Any] = field(default_factory=list)
    rewired: list[Any] = field(default_factory=list)
    reweighted: list[Any] = field(default_factory=list)
    attributes: list[Any] = field(default_factory=list)
    interface: list[Any] = field(default_factory=list)
    opsets: list[Any] = field(default_factory=list)
    removed_constants: list[Any] = field(default_factory=list)
    added_constants: list[Any] = field(default_factory=list)
    removed_functions: list[str] = field(default_factory=list)
    added_functions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_diff(self) -> Diff:
        return Diff(**{name: tuple(entries) for name, entries in vars(self).items()})


class _Comparison:
    def __init__(self, numbers: Numbers, before: ir.Model, after: ir.Model, functions: Functions, past: Past) -> None:
        self._contents = contents_of(numbers, before, after, dict(functions.pairs))
        self._prints = tuple(Fingerprinter(numbers, contents) for contents in self._contents)
        self._past = past
        self._types = Types()
        self._readings: dict[tuple[ir.Value, ir.Value], list[tuple[str, Reading]]] = {}
        self.pairs: list[tuple[ir.Node, ir.Node]] = []
        self.found = _Found()

    def main(self, before: ir.Graph, after: ir.Graph) -> None:
        """Compare the main graphs, whose inputs and outputs may have other names or another order."""
        one, other = self._scopes(before, after)
        ways = [
            (inputs, outputs)
            for inputs in pairings(one.inputs, other.inputs)
            for outputs in pairings(one.outputs, other.outputs)
        ]
        if len(ways) > 1:
            ways.sort(key=lambda way: self._agreement(self._sides(one, other, None, *way), way[1]), reverse=True)
        inputs, outputs = ways[0]
        self.found.notes += interface_notes("input", one.inputs, other.inputs, inputs)
        self.found.notes += interface_notes("output", one.outputs, other.outputs, outputs)
        self._compare("", one, other, None, inputs, outputs)

    def inner(self, where: str, before: ir.Graph, after: ir.Graph, outer: Wiring | None) -> None:
        """Compare two subgraphs, or the bodies of functions, whose inputs and outputs go by position."""
        one, other = self._scopes(before, after)
        inputs = [(index, index) for index in range(min(len(one.inputs), len(other.inputs)))]
        outputs = [(index, index) for index in range(min(len(one.outputs), len(other.outputs)))]
        self._compare(where, one, other, outer, inputs, outputs)

    def opsets(self, where: str, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """Compare the versions of domains."""
        for domain in sorted({*before, *after}):
            one, other = before.get(domain), after.get(domain)
            if one != other:
                self.found.opsets.append(ChangedOpset(domain or "ai.onnx", where, one, other))

    def weights(self) -> None:
        """Put down constants with other contents, each once, whatever scopes they are read in."""
        for constants, readings in self._readings.items():
            places = {where for where, _ in readings}
            where = places.pop() if len(places) == 1 else ""
            readers = dict.fromkeys(
                one.reader if inner == where else f"{inner} / {one.reader}" for inner, one in readings
            )
            made_by = next((one.made_by for _, one in readings if one.made_by), ())
            self.found.reweighted.append(reweighted(*constants, where, tuple(readers), made_by))

    def _scopes(self, before: ir.Graph, after: ir.Graph) -> tuple[Scope, Scope]:
        return self._prints[0].scope(before), self._prints[1].scope(after)

    def _compare(
        self, where: str, one: Scope, other: Scope, outer: Wiring | None, inputs: Pairs, outputs: Pairs
    ) -> None:
        around = None if outer is None else outer.found
        values = {} if around is None else dict(around.values)
        values |= {one.inputs[left]: other.inputs[right] for left, right in inputs}
        found = match(*self._sides(one, other, around, inputs, outputs), values)
        wiring = Wiring(found, *self._contents, where, self._past, outer)
        kept = self.found
        kept.removed += (self._node(node, one, where) for node in found.open_before())
        kept.added += (self._node(node, other, where) for node in found.open_after())
        pairs = [(node, found.nodes[node]) for node in one.nodes if node in found.nodes]
        self.pairs += pairs
        for left, right in pairs:
            kept.attributes += wiring.attributes(left, right)
            kept.rewired += wiring.inputs(left, right)
        for first, second in outputs:
            kept.rewired += wiring.output(one.outputs[first], other.outputs[second])
        for constants, readings in wiring.reweighted.items():
            self._readings.setdefault(constants, []).extend((where, reading) for reading in readings)
        kept.interface += compare_interface("input", where, one.inputs, other.inputs, inputs, self._types)
        kept.interface += compare_interface("output", where, one.outputs, other.outputs, outputs, self._types)
        self._unread(where, one, other)
        for left, right in pairs:
            for name, before, after in _bodies(left, right):
                self.inner(f"{where} / {label(left)}.{name}".removeprefix(" / "), before, after, wiring)

    def _sides(
        self, one: Scope, other: Scope, outer: Matching | None, inputs: Pairs, outputs: Pairs
    ) -> tuple[Side, Side]:
        leaves: tuple[dict[ir.Value, object], dict[ir.Value, object]] = ({}, {})
        if outer is not None:
            leaves = _captured(outer)
        for number, (left, right) in enumerate(inputs):
            leaves[0][one.inputs[left]] = leaves[1][other.inputs[right]] = ("input", number)
        ends = _ends(one.outputs, [left for left, _ in outputs]), _ends(other.outputs, [right for _, right in outputs])
        sides = zip(self._prints, (one, other), leaves, ends, strict=True)
        left_side, right_side = (Side(scope, prints.fingerprints(scope, *keys)) for prints, scope, *keys in sides)
        return left_side, right_side

    def _agreement(self, sides: tuple[Side, Side], outputs: Pairs) -> tuple[int, int]:
        """Return how many outputs and nodes are equal under a pairing of inputs and outputs."""
        one, other = sides
        equal = 0
        for left, right in outputs:
            first, second = one.scope.outputs[left], other.scope.outputs[right]
            if first is not None and second is not None:
                numbers = one.prints.values.get(first), other.prints.values.get(second)
                equal += numbers[0] is not None and numbers[0] == numbers[1]
        nodes = Counter(one.prints.inward.values()) & Counter(other.prints.inward.values())
        return equal, nodes.total()

    def _node(self, node: ir.Node, scope: Scope, where: str) -> ChangedNode:
        readers = [label(reader.node) for value in node.outputs for reader in scope.readers.get(value, ())]
        readers += [f"output {value.name!r}" for value in node.outputs if value in scope.outputs]
        readers = list(dict.fromkeys(readers))
        more = [f"{len(readers) - _SHOWN} more"] if len(readers) > _SHOWN else []
        return ChangedNode(
            node=label(node),
            op=operator_name(node),
            where=where,
            reads=tuple(source(value) for value in node.inputs if value is not None and not is_constant(value)),
            constants=tuple(source(value) for value in node.inputs if value is not None and is_constant(value)),
            read_by=(*readers[:_SHOWN], *more),
            made_by=self._past(node),
        )

    def _unread(self, where: str, one: Scope, other: Scope) -> None:
        sides = [_unread(scope) for scope in (one, other)]
        numbered = [
            [(contents.constant(value), value) for value in side]
            for contents, side in zip(self._contents, sides, strict=True)
        ]
        for kept, mine, theirs in (
            (self.found.removed_constants, *numbered),
            (self.found.added_constants, *reversed(numbered)),
        ):
            others = Counter(number for number, _ in theirs)
            for number, value in mine:
                if others[number]:
                    others[number] -= 1
                    continue
                tensor = constant_tensor(value)
                if tensor is not None:
                    shape = tuple(tensor.shape.numpy())
                    kept.append(ChangedConstant(str(value.name), where, tensor.dtype.name.lower(), shape))


def _captured(outer: Matching) -> tuple[dict[ir.Value, object], dict[ir.Value, object]]:
    """Give the values of the scope around the same keys where they are the same."""
    before, after = outer.before.prints.values, outer.after.prints.values
    right: dict[ir.Value, object] = {value: ("outer", number) for value, number in after.items()}
    left: dict[ir.Value, object] = {value: ("outer", number) for value, number in before.items()}
    left |= {one: right[other] for one, other in outer.values.items() if other in right}
    return left, right


def _ends(outputs: tuple[ir.Value | None, ...], paired: list[int]) -> dict[ir.Value, object]:
    """Give outputs keys that are the same where they belong together."""
    ends: dict[ir.Value, tuple[int, ...]] = {}
    for number, index in enumerate(paired):
        value = outputs[index]
        if value is not None:
            ends[value] = (*ends.get(value, ()), number)
    return {value: ("output", *numbers) for value, numbers in ends.items()}


def _unread(scope: Scope) -> list[ir.Value]:
    return [value for value in scope.constants if value not in scope.readers and value not in scope.outputs]


def _bodies(one: ir.Node, other: ir.Node) -> Iterator[tuple[str, ir.Graph, ir.Graph]]:
    """Yield the subgraphs that two nodes both have, with the names of their attributes."""
    for name, attribute in one.attributes.data.items():
        twin = other.attributes.data.get(name)
        if twin is None or attribute.is_ref() or twin.is_ref() or attribute.type is not twin.type:
            continue
        if attribute.type is ir.AttributeType.GRAPH:
            yield name, attribute.as_graph(), twin.as_graph()
        elif attribute.type is ir.AttributeType.GRAPHS:
            for index, pair in enumerate(zip(attribute.as_graphs(), twin.as_graphs(), strict=False)):
                yield f"{name}[{index}]", *pair


def _named(identifier: ir.OperatorIdentifier) -> str:
    domain, name, overload = identifier
    return ".".join(filter(None, (domain, name, overload)))
