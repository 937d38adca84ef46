"""Cutting a model out of a larger one, between values that are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor
from graphopt.ir.dead import erase, erase_initializer, erase_uncalled
from graphopt.ir.load import Source, load
from graphopt.ir.shape_memo import MINTED
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.ir.walk import label, scopes, subgraphs
from graphopt.nearest import question_of


def extract(model: Source, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None) -> ir.Model:
    """Return the part of a model that computes `outputs` from `inputs`; what is given stays untouched.

    Both are names of values of the main graph; None means those that the model has. Inputs that were computed
    before take the types and shapes that inference finds. Initializers and functions come along as needed.

    Raises:
        ModelError: the model is broken; a name is unknown, named twice or inside of a subgraph; an output
            hangs on an input that is not named; no output hangs on one that is; a new input's type is unknown.

    """
    part = load(model)
    infer_shapes(part)
    graph = part.graph
    known = _visible(graph)
    ends = list(graph.outputs) if outputs is None else [_find(part, known, name, "output") for name in _once(outputs)]
    if inputs is None:
        starts = [value for value in graph.inputs if value in _reached(ends, frozenset()).inputs]
    else:
        starts = [_find(part, known, name, "input") for name in _once(inputs)]
    needed = _reached(ends, frozenset(starts))
    _check_borders(starts, needed)
    _cut(graph, starts, ends, needed.nodes)
    erase_uncalled(part)
    verify(part)
    return part


class _Reached:
    """What lies behind some values: nodes, values of the inputs of the graph, and starts that stopped the way."""

    def __init__(self) -> None:
        self.nodes: set[ir.Node] = set()
        self.inputs: dict[ir.Value, str] = {}
        self.starts: set[ir.Value] = set()


def _reached(ends: Iterable[ir.Value], starts: frozenset[ir.Value]) -> _Reached:
    reached = _Reached()
    pending = [(value, str(value.name)) for value in ends]
    while pending:
        value, end = pending.pop()
        producer = value.producer()
        if value in starts:
            reached.starts.add(value)
        elif producer is None:
            if value.is_graph_input() and constant_tensor(value) is None:
                reached.inputs.setdefault(value, end)
        elif producer not in reached.nodes:
            reached.nodes.add(producer)
            pending.extend((read, end) for read in _reads(producer, producer.graph))
    return reached


def _reads(node: ir.Node, graph: ir.Graph | ir.Function | None) -> Iterator[ir.Value]:
    """Yield what a node reads of its graph, in its subgraphs as well."""
    yield from (value for value in node.inputs if value is not None and value.graph is graph)
    for subgraph in subgraphs(node):
        yield from (value for value in subgraph.outputs if value.graph is graph)
        for inner in subgraph:
            yield from _reads(inner, graph)


def _visible(graph: ir.Graph) -> dict[str, ir.Value]:
    made = (value for node in graph for value in node.outputs)
    return {value.name: value for value in (*graph.inputs, *graph.initializers.values(), *made) if value.name}


def _once(names: Sequence[str]) -> Sequence[str]:
    if repeated := next((name for index, name in enumerate(names) if name in names[:index]), None):
        raise ModelError(f"value {repeated!r} is named twice; name it once")
    return names


def _find(model: ir.Model, known: Mapping[str, ir.Value], name: str, role: str) -> ir.Value:
    if name in known:
        return known[name]
    inner = (value for scope in scopes(model) if scope is not model.graph for node in scope for value in node.outputs)
    if any(value.name == name for value in inner):
        raise ModelError(
            f"value {name!r} lies inside of a subgraph or a function and can be no {role}; name one outside"
        )
    hint = question_of(name, known) or "`graphopt inspect --text` shows its values"
    raise ModelError(f"the model has no value {name!r}; {hint}")


def _check_borders(starts: Iterable[ir.Value], needed: _Reached) -> None:
    for value, end in needed.inputs.items():
        raise ModelError(
            f"output {end!r} needs the input {value.name!r}, which is not named; name it or a value on the way"
        )
    for value in starts:
        if value not in needed.starts:
            raise ModelError(f"no output hangs on the input {value.name!r}; leave it out, or name an output behind it")
        if value.type is None:
            producer = value.producer()
            where = f" of {label(producer)}" if producer is not None else ""
            raise ModelError(f"the type of {value.name!r}{where} is unknown, so it can be no input; cut elsewhere")


def _cut(graph: ir.Graph, starts: Sequence[ir.Value], ends: Sequence[ir.Value], nodes: set[ir.Node]) -> None:
    graph.outputs.clear()
    for node in reversed(graph):
        if node not in nodes:
            erase(node)
    borders = {value: _as_input(graph, value) for value in starts}
    graph.inputs.clear()
    graph.inputs.extend(borders.values())
    graph.outputs.extend(borders.get(value, value) for value in ends)
    for value in tuple(graph.initializers.values()):
        erase_initializer(value)


def _as_input(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Return an input in place of a value, which loses its name and readers."""
    if value.is_graph_input():
        return value
    name = str(value.name)
    if value.is_initializer():
        del graph.initializers[name]
    value.name = None  # its node stays where another of its outputs is needed
    shape = None if value.shape is None else ir.Shape(_stated(dim) for dim in value.shape)
    border = ir.Value(name=name, type=value.type, shape=shape)
    value.replace_all_uses_with(border)
    return border


def _stated(dim: int | ir.SymbolicDim) -> int | ir.SymbolicDim | None:
    """Forget a name that held within one inference only."""
    return dim if isinstance(dim, int) or not MINTED.search(dim.value or "") else None
