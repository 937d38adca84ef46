"""What a node computes, by numbers that are equal for equal structures: Merkle hashes from both ends of a graph.

From the inputs: an operator with its attributes over the numbers of its operands, the contents of constants among them
(value numbering; Click, PLDI 1995). From the outputs: an operator over the numbers of those that read it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.inspect.diff.numbers import Contents, Numbers
from graphopt.inspect.diff.scope import CAPTURED, Scope, is_commutative, scope_of
from graphopt.ir.walk import has_subgraphs, subgraphs

Leaves = Mapping[ir.Value, Hashable]


@dataclass(frozen=True)
class Signatures:
    """A node alone, each number more general than the one before.

    Attributes:
        content: operator, attributes and the contents of its constants.
        form: operator, attributes, dtypes and shapes of its constants.
        local: operator, attributes and the number of outputs.
        operator: the operator alone.

    """

    content: int
    form: int
    local: int
    operator: int


@dataclass(frozen=True)
class Fingerprints:
    """All numbers of one scope.

    Attributes:
        values: what a value is, from the inputs.
        inward: what a node computes, from the inputs.
        outward: what is done with what a node computes, to the outputs; the contents of constants go in.
        place: the same from both ends, with the shapes of constants in the place of their contents.
        alone: of each node.

    """

    values: dict[ir.Value, int]
    inward: dict[ir.Node, int]
    outward: dict[ir.Node, int]
    place: dict[ir.Node, tuple[int, int]]
    alone: dict[ir.Node, Signatures]


class Fingerprinter:
    """Numbers the scopes of one model; both models share the table of numbers."""

    def __init__(self, numbers: Numbers, contents: Contents) -> None:
        self._numbers = numbers
        self._contents = contents
        self._scopes: dict[ir.Graph, Scope] = {}
        self._locals: dict[ir.Node, int] = {}

    def scope(self, graph: ir.Graph) -> Scope:
        """Return a graph as the matching sees it."""
        if graph not in self._scopes:
            self._scopes[graph] = scope_of(graph)
        return self._scopes[graph]

    def body(self, graph: ir.Graph) -> int:
        """Return the number of a graph that captures nothing, as the body of a function does."""
        return self._body(graph, {}, self._contents.constant, 0)

    def fingerprints(self, scope: Scope, inputs: Leaves, outputs: Leaves) -> Fingerprints:
        """Return the numbers of a scope.

        Args:
            scope: of this model.
            inputs: keys of its inputs and of what it captures, equal for what belongs together in both models.
            outputs: keys of its outputs, alike.

        """
        alone = {node: self._signatures(node) for node in scope.nodes}
        values = {value: self._numbers(key) for value, key in inputs.items()}
        places = dict(values)
        inward = self._forward(scope, values, self._contents.constant, 0)
        in_place = self._forward(scope, places, self._contents.form, 0)
        outward = self._backward(scope, outputs, lambda node: alone[node].content)
        out_place = self._backward(scope, outputs, lambda node: alone[node].form)
        place = {node: (in_place[node], out_place[node]) for node in scope.nodes}
        return Fingerprints(values, inward, outward, place, alone)

    def _signatures(self, node: ir.Node) -> Signatures:
        local = self._local(node)
        return Signatures(
            content=self._with_constants("content", local, node, self._contents.constant),
            form=self._with_constants("form", local, node, self._contents.form),
            local=local,
            operator=self._contents.operator(node),
        )

    def _local(self, node: ir.Node) -> int:
        if node not in self._locals:
            attributes = tuple(sorted(self._contents.attributes(node).items()))
            key = ("local", self._contents.operator(node), attributes, len(node.outputs))
            self._locals[node] = self._numbers(key)
        return self._locals[node]

    def _with_constants(self, kind: str, local: int, node: ir.Node, known: Callable[[ir.Value], int | None]) -> int:
        numbers = [-1 if value is None else known(value) for value in node.inputs]
        filled = [-2 if number is None else number for number in numbers]
        return self._numbers((kind, local, tuple(sorted(filled) if is_commutative(node) else filled)))

    def _forward(
        self, scope: Scope, values: dict[ir.Value, int], known: Callable[[ir.Value], int | None], depth: int
    ) -> dict[ir.Node, int]:
        """Return the numbers of nodes, from the inputs; their outputs join `values`."""
        inward: dict[ir.Node, int] = {}
        for node in scope.nodes:
            operands = [-1 if value is None else self._value(value, values, known) for value in node.inputs]
            bodies = self._bodies(node, values, known, depth)
            order = tuple(sorted(operands) if is_commutative(node) else operands)
            number = inward[node] = self._numbers(("node", self._local(node), order, bodies))
            for index, output in enumerate(node.outputs):
                values[output] = self._numbers(("output", number, index))
        return inward

    def _value(self, value: ir.Value, values: dict[ir.Value, int], known: Callable[[ir.Value], int | None]) -> int:
        if value not in values:
            number = known(value)
            values[value] = self._numbers(("foreign", id(value))) if number is None else number
        return values[value]

    def _bodies(
        self, node: ir.Node, values: dict[ir.Value, int], known: Callable[[ir.Value], int | None], depth: int
    ) -> tuple[int, ...]:
        if not has_subgraphs(node):
            return ()
        return tuple(self._body(graph, values, known, depth + 1) for graph in subgraphs(node))

    def _body(
        self, graph: ir.Graph, values: dict[ir.Value, int], known: Callable[[ir.Value], int | None], depth: int
    ) -> int:
        scope = self.scope(graph)
        for index, value in enumerate(scope.inputs):
            values[value] = self._numbers(("argument", depth, index))
        inward = self._forward(scope, values, known, depth)
        made = tuple(-1 if value is None else self._value(value, values, known) for value in scope.outputs)
        return self._numbers(("body", len(scope.inputs), made, tuple(sorted(inward.values()))))

    def _backward(self, scope: Scope, outputs: Leaves, alone: Callable[[ir.Node], int]) -> dict[ir.Node, int]:
        outward: dict[ir.Node, int] = {}
        named = {value: self._numbers(key) for value, key in outputs.items()}
        for node in reversed(scope.nodes):
            uses = []
            for value in node.outputs:
                read = [(outward[reader.node], reader.slot) for reader in scope.readers.get(value, ())]
                uses.append((tuple(sorted(read)), named.get(value, CAPTURED)))
            outward[node] = self._numbers(("outward", alone(node), tuple(uses)))
        return outward
