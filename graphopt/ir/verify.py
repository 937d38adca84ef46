"""The verifier: what must hold of a model between any two passes.

1. Every value is defined once, under a name that is unique among those visible to it: a subgraph may not
   reuse a name of the scopes around it, two branches of an If may use the same ones.
2. Every input of a node is a graph input, an initializer or the output of an earlier node, of its own
   scope or of one around it; so nothing dangles and nothing is cyclic.
3. Every graph output is defined by its own graph. A reader of a value is in the model.
4. An initializer has a tensor, of the declared dtype and shape. Functions have none.
5. Every node satisfies its schema, or the function that it calls; functions do not call themselves.
6. Attribute references stand in functions only, and name an attribute of the function.
7. With `types=True`: declared dtypes and shapes agree with those inferred.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.operators import check_node, check_opset
from graphopt.ir.shapes import check_types
from graphopt.ir.walk import label, nodes, nodes_within, subgraphs

Key = TypeVar("Key", bound=Hashable)
LONGEST_LISTING = 6  # nodes of a cycle that a message names


def verify(model: ir.Model, *, types: bool = False) -> None:
    """Check a model; linear in its nodes and values, and nothing changes.

    Raises:
        ModelError: naming the value or node that breaks a law, and its place.

    """
    check_structure(model)
    _check_operators(model)
    _check_readers(model)
    if types:
        check_types(model)


def check_structure(model: ir.Model) -> None:
    """Check the laws about names, definitions and order alone; raises ModelError."""
    _Scopes().check(model.graph, f"graph {model.graph.name!r}")
    for function in model.functions.values():
        where = f"function {function.name!r}"
        if function.graph.initializers:
            raise ModelError(f"{where} has initializers, which ONNX does not allow; use Constant nodes")
        _Scopes().check(function.graph, where)


class _Scopes:
    """Walks nested graphs in order, knowing what is defined so far."""

    def __init__(self) -> None:
        self._defined: set[ir.Value] = set()
        self._names: set[str] = set()
        self._open: list[ir.Graph] = []

    def check(self, graph: ir.Graph, where: str) -> None:
        added: list[ir.Value] = []
        self._open.append(graph)
        for value in dict.fromkeys((*graph.inputs, *graph.initializers.values())):
            self._define(value, where, added)
        if len(set(graph.inputs)) != len(graph.inputs):
            raise ModelError(f"{where} lists one value as two inputs; list it once")
        for name, value in graph.initializers.items():
            _check_initializer(name, value, where)
        for node in graph:
            self._check_reads(node, where)
            for subgraph in subgraphs(node):
                self.check(subgraph, f"subgraph {subgraph.name!r} of {label(node)}")
            for value in node.outputs:
                if value.name != "":
                    self._define(value, where, added)
        for value in graph.outputs:
            if value not in self._defined:
                raise ModelError(f"no node of {where} produces its output {value.name!r}; produce it or drop it")
        self._open.pop()
        self._defined.difference_update(added)
        self._names.difference_update(value.name or "" for value in added)

    def _define(self, value: ir.Value, where: str, added: list[ir.Value]) -> None:
        if not value.name:
            raise ModelError(f"a value of {where} has no name; name it")
        if value.name in self._names:
            raise ModelError(f"the name {value.name!r} is defined twice in {where} or around it; rename one")
        self._names.add(value.name)
        self._defined.add(value)
        added.append(value)

    def _check_reads(self, node: ir.Node, where: str) -> None:
        for value in node.inputs:
            if value is not None and value not in self._defined:
                raise ModelError(_explain_undefined(node, value, self._open, where))


def _check_initializer(name: str, value: ir.Value, where: str) -> None:
    tensor = value.const_value
    if tensor is None:
        raise ModelError(f"initializer {name!r} of {where} has no data; give it a tensor or make it an input")
    if value.dtype not in (None, tensor.dtype):
        raise ModelError(f"initializer {name!r} of {where} is declared {value.dtype} and holds {tensor.dtype}; mend it")
    if value.shape is not None and not _fits(value.shape, tensor.shape.numpy()):
        raise ModelError(f"initializer {name!r} of {where} is declared {value.shape} and holds {tensor.shape}; mend it")


def _fits(declared: ir.Shape, actual: Sequence[int]) -> bool:
    return len(declared) == len(actual) and all(
        dim == size for dim, size in zip(declared, actual, strict=True) if isinstance(dim, int)
    )


def _explain_undefined(node: ir.Node, value: ir.Value, open_graphs: Sequence[ir.Graph], where: str) -> str:
    reader, name, producer = label(node), value.name, value.producer()
    if producer is None:
        return f"node {reader} of {where} reads {name!r}, which nothing defines; produce it or make it an input"
    if producer.graph is None or producer.graph not in open_graphs:
        return f"node {reader} of {where} reads {name!r} of {label(producer)}, which is not visible there; move it"
    cycle = _find_cycle(producer.graph)
    if cycle:
        members = ", ".join(map(label, cycle[:LONGEST_LISTING]))
        more = f" and {len(cycle) - LONGEST_LISTING} more" if len(cycle) > LONGEST_LISTING else ""
        return f"{where} has a cycle through nodes {members}{more}; break it"
    return f"node {reader} of {where} reads {name!r} before {label(producer)} produces it; sort the nodes"


def _find_cycle(graph: ir.Graph) -> list[ir.Node]:
    return _cycle({node: [producer for value in _reads(node) if (producer := value.producer())] for node in graph})


def _cycle(sources: Mapping[Key, Iterable[Key]]) -> list[Key]:
    """Return the keys of a cycle, each before the one that it is a source of; none where there is no cycle."""
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as error:
        first_again: list[Key] = error.args[1]
        return first_again[:-1]
    return []


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    yield from (value for value in node.inputs if value is not None)
    for subgraph in subgraphs(node):
        for inner in subgraph:
            yield from _reads(inner)


def _check_operators(model: ir.Model) -> None:
    check_opset(model.opset_imports, "the model")
    _check_bodies(nodes_within(model.graph), model, model.opset_imports, None)
    for function in model.functions.values():
        check_opset(function.opset_imports, f"function {function.name!r}")
        _check_bodies(nodes_within(function), model, function.opset_imports, function)
    callees = {
        function.identifier(): [node.op_identifier() for node in nodes_within(function)]
        for function in model.functions.values()
    }
    if cycle := _cycle(callees):
        raise ModelError(f"function {cycle[0][1]!r} calls itself, which ONNX does not allow; break the recursion")


def _check_bodies(
    body: Iterable[ir.Node], model: ir.Model, imports: dict[str, int], function: ir.Function | None
) -> None:
    parameters = frozenset() if function is None else frozenset(function.attributes)
    for node in body:
        check_node(node, imports, model.functions)
        for attribute in node.attributes.data.values():
            if attribute.is_ref() and attribute.ref_attr_name not in parameters:
                raise ModelError(
                    f"attribute {attribute.name!r} of node {label(node)} refers to {attribute.ref_attr_name!r}, "
                    "which is no attribute of a function around it; give it a value"
                )


def _check_readers(model: ir.Model) -> None:
    members = set(nodes(model))
    for value in {value for node in members for value in node.inputs if value is not None}:
        for reader, _ in value.uses():
            if reader not in members:
                raise ModelError(
                    f"value {value.name!r} is read by node {label(reader)}, outside of the model; detach its inputs"
                )
