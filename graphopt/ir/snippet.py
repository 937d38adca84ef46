"""A few nodes as a model of their own, to run or to keep; the graph they stand in stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.materialize import tensor_of

_IR_VERSION = 10


def cone(outputs: Iterable[ir.Value], within: Collection[ir.Node]) -> list[ir.Node]:
    """Return the nodes of `within` that `outputs` need, each after those that it reads."""
    order: dict[ir.Node, None] = {}
    pending = list(outputs)
    while pending:
        node = pending[-1].producer()
        if node is None or node not in within or node in order:
            pending.pop()
            continue
        missing = [value for value in node.inputs if value is not None and _is_waited_for(value, within, order)]
        if missing:
            pending.extend(missing)
        else:
            order[node] = None
            pending.pop()
    return list(order)


def free_inputs(nodes: Iterable[ir.Node], outputs: Iterable[ir.Value]) -> list[ir.Value]:
    """Return what `nodes` and `outputs` read that neither `nodes` compute nor is constant, each once."""
    nodes = list(nodes)
    computed = {value for node in nodes for value in node.outputs}
    read = (value for node in nodes for value in node.inputs if value is not None)
    return list(dict.fromkeys(value for value in (*read, *outputs) if value not in computed and _tensor(value) is None))


def snippet(
    nodes: Sequence[ir.Node], inputs: Sequence[ir.Value], outputs: Mapping[str, ir.Value], types: Mapping[str, ir.Value]
) -> ir.Graph:
    """Copy nodes, in order, into a graph of the given inputs and outputs; values keep their names.

    `types` gives, by output name, a value whose type the output has. An output that no node of the copy
    makes, or that has two names, is carried by an Identity.
    """
    copier = _Copier(inputs, outputs)
    copied = [copier.node(node) for node in nodes]
    results = []
    for name, value in outputs.items():
        result = copier.value(value)
        if result.name != name:
            carrier = ir.node("Identity", [result])
            copied.append(carrier)
            result = carrier.outputs[0]
            result.name = name
        result.type = types[name].type
        results.append(result)
    given = [copier.value(value) for value in inputs]
    return ir.Graph(given, results, nodes=copied, initializers=copier.initializers, name="snippet")


def as_model(graph: ir.Graph, opset: int) -> ir.Model:
    """Make a snippet a model at a version of `ai.onnx`."""
    graph.opset_imports[""] = opset
    return ir.Model(graph, ir_version=_IR_VERSION, producer_name="graphopt")


class _Copier:
    """Copies of values under names that are unique in the snippet."""

    def __init__(self, inputs: Sequence[ir.Value], outputs: Mapping[str, ir.Value]) -> None:
        self.initializers: list[ir.Value] = []
        self._copies: dict[ir.Value, ir.Value] = {}
        self._taken = set(outputs)
        self._wanted: dict[ir.Value, str] = {}
        for name, value in outputs.items():
            if value.producer() is not None and value not in inputs:
                self._wanted.setdefault(value, name)
        for value in inputs:
            shape = None if value.shape is None else value.shape.copy()
            self._copies[value] = ir.Value(name=self._name(value), type=value.type, shape=shape)

    def value(self, value: ir.Value) -> ir.Value:
        if value not in self._copies:
            tensor = _tensor(value)
            if tensor is None:
                raise ValueError(f"value {value.name!r} is neither constant nor computed")
            self._copies[value] = self._constant(value, tensor)
        return self._copies[value]

    def node(self, node: ir.Node) -> ir.Node:
        copy = ir.Node(
            node.domain,
            node.op_type,
            [None if value is None else self.value(value) for value in node.inputs],
            node.attributes.values(),
            num_outputs=len(node.outputs),
            name=node.name,
        )
        for value, result in zip(node.outputs, copy.outputs, strict=True):
            result.name = self._wanted.get(value) or self._name(value)
            self._copies[value] = result
        return copy

    def _constant(self, value: ir.Value, tensor: ir.TensorProtocol) -> ir.Value:
        # A tensor takes the name of the value that holds it, so the copy gets its own around the same bytes.
        strings = tensor.dtype is ir.DataType.STRING
        held = tensor_of(tensor.numpy()) if strings else ir.Tensor(tensor.numpy(), dtype=tensor.dtype)
        shape, dtype = ir.Shape(held.shape.numpy()), ir.TensorType(held.dtype)
        copy = ir.Value(name=self._name(value), shape=shape, type=dtype, const_value=held)
        self.initializers.append(copy)
        return copy

    def _name(self, value: ir.Value) -> str:
        base = value.name or "new"
        name, count = base, 0
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


def _is_waited_for(value: ir.Value, within: Collection[ir.Node], order: Mapping[ir.Node, None]) -> bool:
    producer = value.producer()
    return producer is not None and producer in within and producer not in order


def _tensor(value: ir.Value) -> ir.TensorProtocol | None:
    """Return the content of a constant, one that is in no graph yet included."""
    known = constant_tensor(value)
    is_new = known is None and value.producer() is None and value.graph is None and not value.is_graph_input()
    return value.const_value if is_new else known
