"""Models into records: the tables of nodes and values of a story, in which what stays equal is one record."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.inspect.layers import layer_of
from graphopt.ir.constants import constant_tensor
from graphopt.ir.fused import kernels
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.walk import is_op, label
from graphopt.report.calls import Calls
from graphopt.report.constants import SAMPLED, Constants, content, dtype_name
from graphopt.report.scopes import Boxes, Place, modules, places
from graphopt.report.story import Dim, Made, Node, Stage, Value, ValueKind
from graphopt.report.wording import Wording
from graphopt.rewrite.provenance import KEY, provenance

Record = TypeVar("Record")


@dataclass(frozen=True)
class Measured:
    """What is known of a node from outside of its model.

    Attributes:
        device, kernel: who runs it, and in which kernel.
        seconds, share: of a run, and of the time of all.
        error: of the answers where this node alone computes in integers, relative.

    """

    device: str | None = None
    kernel: str | None = None
    seconds: float | None = None
    share: float | None = None
    error: float | None = None


class Identity(NamedTuple):
    """Which node of a story a node is, and what it was made of."""

    id: int
    parents: tuple[int, ...] = ()


class Snapshot(NamedTuple):
    """A model at one moment, as places in the tables."""

    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Shown(NamedTuple):
    """A node that counts as one, and where it stands."""

    node: ir.Node
    place: Place


def shown(model: ir.Model) -> Iterator[Shown]:
    """Yield the nodes that `graphopt.pipeline.report.Size` counts: neither constants nor what is inside of kernels."""
    inside = {function.graph for function in kernels(model)}
    for place in places(model):
        if place.graph not in inside:
            yield from (Shown(node, place) for node in place.graph if not is_op(node, "Constant"))


@dataclass
class Table(Generic[Record]):
    """Records, each once by the key that tells it from others."""

    records: list[Record] = field(default_factory=list)
    places: dict[Hashable, int] = field(default_factory=dict)

    def put(self, key: Hashable, record: Record) -> int:
        """Add a record; return its place."""
        self.places[key] = len(self.records)
        self.records.append(record)
        return self.places[key]


class Tables:
    """The tables of a story, which grow with each snapshot.

    Attributes:
        constants: measures them.

    """

    def __init__(self) -> None:
        self.constants = Constants()
        self._nodes: Table[Node] = Table()
        self._values: Table[Value] = Table()
        self._boxes = Boxes()
        self._wording = Wording()
        self._types: dict[tuple[str, str], _Type] = {}

    @property
    def nodes(self) -> Sequence[Node]:
        """Return the records of nodes."""
        return self._nodes.records

    @property
    def values(self) -> Sequence[Value]:
        """Return the records of values."""
        return self._values.records

    def notes(self, last: Stage) -> Iterator[str]:
        """Yield what the reader of the records should know of them, `last` being the stage to come to."""
        if self.constants.sampled:
            yield f"The numbers of constants with more than {SAMPLED:,} elements are those of a sample."
        if any("macs" not in self.nodes[place].metrics for place in last.nodes):
            yield "Work is counted where shapes are static; sizes of free dimensions can be said with --input-shape."

    def snapshot(
        self,
        model: ir.Model,
        identities: Mapping[ir.Node, Identity],
        measured: Mapping[ir.Node, Measured] | None = None,
    ) -> Snapshot:
        """Put a model into the tables, and leave it as it is; what it does not tell of a shape is as it was last."""
        view = _View(model)
        nodes = list(shown(model))
        paths = {node: (*place.boxes, *modules(node, place.name)) for node, place in nodes}
        self._boxes.look_at(places(model), paths.values())
        records = tuple(
            self._node(view, node, identities[node], paths[node], (measured or {}).get(node)) for node, _ in nodes
        )
        graph = model.graph
        inputs, outputs = (
            tuple(self._value(view, value) for value in values if value is not None)
            for values in (graph.inputs, graph.outputs)
        )
        return Snapshot(records, inputs, outputs)

    def _node(
        self, view: _View, node: ir.Node, identity: Identity, path: Sequence[str], measured: Measured | None
    ) -> int:
        inputs = tuple(None if value is None else self._value(view, value) for value in node.inputs)
        outputs = tuple(self._value(view, value) for value in node.outputs if value.name)
        attributes = tuple((name, self._wording.text(attribute)) for name, attribute in node.attributes.data.items())
        past = node.metadata_props.get(KEY)
        what = identity, node.op_identifier(), node.name
        key = what, inputs, outputs, attributes, past, path, measured
        place = self._nodes.places.get(key)
        return self._nodes.put(key, self._record(view, node, key)) if place is None else place

    def _record(self, view: _View, node: ir.Node, key: _NodeKey) -> Node:
        (identity, _, _), inputs, outputs, attributes, _, path, measured = key
        metrics = self._measure(view, node)
        if measured is not None and measured.seconds is not None:
            metrics = metrics | {"time_us": measured.seconds * 1e6}
            if metrics.get("flops") and measured.seconds:
                metrics["gflops"] = metrics["flops"] / measured.seconds / 1e9
            if measured.share is not None:
                metrics["share"] = measured.share
        if measured is not None and measured.error is not None:
            metrics = metrics | {"error": measured.error}
        past = provenance(node)
        call = view.calls.kernel(node)
        return Node(
            id=identity.id,
            op=node.op_type,
            domain=node.domain,
            name=node.name or "",
            label=label(node),
            scope=self._boxes.around(path),
            inputs=inputs,
            outputs=outputs,
            attributes=dict(attributes),
            metrics=metrics,
            device=None if measured is None else measured.device,
            kernel=measured.kernel if measured is not None and measured.kernel else call,
            parents=identity.parents,
            made_by=() if past is None else tuple(Made(*rewrite) for rewrite in past.rewrites),
            sources=() if past is None else past.sources,
        )

    def _measure(self, view: _View, node: ir.Node) -> dict[str, float]:
        """Return what is known of the work of a node."""
        with self._complete(view, node):
            found = layer_of(node)
        macs, flops = view.calls.operations(node) if view.calls.kernel(node) else (found.macs, found.flops)
        known = {"macs": macs, "flops": flops, "bytes": found.bytes, "parameters": found.parameters}
        metrics: dict[str, float] = {name: one for name, one in known.items() if one is not None}
        if found.parameters and (zeros := self._zeros(node)) is not None:
            metrics["zeros"] = zeros
        return metrics

    @contextmanager
    def _complete(self, view: _View, node: ir.Node) -> Iterator[None]:
        """Lend the values of a node, while the body runs, the types and shapes that the model has lost."""
        lent = {value: _Type(value.type, value.shape) for value in (*node.inputs, *node.outputs) if value is not None}
        try:
            for value in lent:
                value.type, value.shape = self._type(view, value)
            yield
        finally:
            for value, own in lent.items():
                value.type, value.shape = own

    def _type(self, view: _View, value: ir.Value) -> _Type:
        """Return what is known of a value, now or last."""
        where = view.homes.get(value, ""), value.name or ""
        known = self._types.get(where, _Type(None, None))
        shape = known.shape if value.shape is None else value.shape.copy()
        self._types[where] = found = _Type(value.type or known.type, shape)
        return found

    def _zeros(self, node: ir.Node) -> float | None:
        zeros = elements = 0.0
        for tensor in filter(None, map(constant_tensor, dict.fromkeys(node.inputs))):
            numbers = self.constants.statistics(tensor)
            if numbers is not None:
                zeros += numbers.zeros * tensor.size
                elements += tensor.size
        return zeros / elements if elements else None

    def _value(self, view: _View, value: ir.Value) -> int:
        if value in view.values:
            return view.values[value]
        home, name = view.homes.get(value, ""), value.name or ""
        tensor = constant_tensor(value)
        kind = ValueKind.CONSTANT if tensor is not None else ValueKind.INPUT if value.is_graph_input() else None
        if tensor is None:
            dtype, shape = self._type(view, value).in_words()
        else:
            dtype, shape = dtype_name(tensor.dtype), tuple(tensor.shape.numpy())
        key = home, name, dtype, shape, kind, None if tensor is None else self.constants.key(tensor)
        place = self._values.places.get(key)
        if place is None:
            record = Value(
                name=name,
                dtype=dtype,
                shape=shape,
                kind=kind or ValueKind.VALUE,
                statistics=None if tensor is None else self.constants.statistics(tensor),
                text=None if tensor is None else content(tensor),
            )
            place = self._values.put(key, record)
        view.values[value] = place
        return place


class _Type(NamedTuple):
    """What is known of a value."""

    type: ir.TypeProtocol | None
    shape: ir.Shape | None

    def in_words(self) -> tuple[str, tuple[Dim, ...] | None]:
        """Return the type of the elements, and the dimensions."""
        dtype = "" if self.type is None or self.type.dtype is None else dtype_name(self.type.dtype)
        if self.type is not None and not isinstance(self.type, ir.TensorType):
            dtype = f"{type(self.type).__name__.removesuffix('Type').lower()} of {dtype}".removesuffix(" of ")
        if self.shape is None:
            return dtype, None
        return dtype, tuple(dim if isinstance(dim, int) else dim.value for dim in self.shape)


_NodeKey = tuple[
    tuple[Identity, ir.OperatorIdentifier, str | None],
    tuple[int | None, ...],
    tuple[int, ...],
    tuple[tuple[str, str], ...],
    str | None,
    Sequence[str],
    Measured | None,
]


class _View:
    """One model while it is put into tables.

    Attributes:
        homes: the graphs that values are of, by name.
        values: those that are in the table.

    """

    def __init__(self, model: ir.Model) -> None:
        self.calls = Calls(model)
        self.homes: dict[ir.Value, str] = {}
        self.values: dict[ir.Value, int] = {}
        for place in places(model):
            own = (*place.graph.inputs, *(value for node in place.graph for value in node.outputs))
            held = place.graph.initializers.values() if isinstance(place.graph, ir.Graph) else ()
            self.homes.update(dict.fromkeys((*own, *held), place.name))


def with_shapes(model: ir.Model) -> ir.Model:
    """Return a copy of a model with the shapes that can be inferred; none are where they contradict each other."""
    copy = model.clone()
    with suppress(ModelError):
        infer_shapes(copy)
    return copy
