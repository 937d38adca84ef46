"""Changing a graph without breaking it: the verbs that onnx_ir lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from graphopt.ir.walk import is_op, nested, scopes
from graphopt.tensors import Array


class Names:
    """The value names taken in a model, so that a new one is found in constant time."""

    def __init__(self, model: ir.Model) -> None:
        self._taken: Counter[str] = Counter()  # two branches of an If may use the same
        for scope in scopes(model):
            self.reserve(_defined(scope))

    def reserve(self, values: Iterable[ir.Value]) -> None:
        """Take the names of values that came from elsewhere."""
        self._taken.update(value.name for value in values if value.name)

    def release(self, graph: ir.Graph) -> None:
        """Give back the names defined in a graph and in those nested in it, which is about to go."""
        for scope in (graph, *nested(graph)):
            self._taken.subtract(value.name for value in _defined(scope) if value.name)

    def fresh(self, base: str) -> str:
        """Return and take the first name that is free of `base`, `base_1`, `base_2` and so on."""
        name, count = base, 0
        while self._taken[name] > 0:
            count += 1
            name = f"{base}_{count}"
        self._taken[name] += 1
        return name


def replace_value(old: ir.Value, new: ir.Value) -> None:
    """Make every reader of `old`, in any scope, read `new`; a graph output keeps its name.

    The name of a graph output belongs to the user. `new` takes it over when a node of the same graph makes
    it and it is no output itself; otherwise an `Identity` node carries the name. Both values are equal, so
    what is known of one's shape holds for the other.
    """
    if new.type is None:
        new.type = old.type
    if new.producer() is not None:
        outward = old.is_graph_output() and can_take_name_of(new, old)
        new.shape = _merged(old.shape, new.shape) if outward else _merged(new.shape, old.shape)
    if not old.is_graph_output():
        old.replace_all_uses_with(new)
    elif can_take_name_of(new, old):
        _move_name(old, new)
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    else:
        _carry(old, new)


def can_take_name_of(new: ir.Value, output: ir.Value) -> bool:
    """Whether `new` may become the graph output `output` without an Identity between them."""
    producer = new.producer()
    return producer is not None and producer.graph is output.graph and not new.is_graph_output()


def add_initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Register a constant under a name that the caller knows to be free, and return its value."""
    tensor = ir.tensor(np.asarray(array, order="C"), name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def _defined(scope: ir.Graph) -> set[ir.Value]:
    outputs = (value for node in scope for value in node.outputs)
    return {*scope.inputs, *scope.initializers.values(), *outputs}


def _carry(old: ir.Value, new: ir.Value) -> None:
    producer = old.producer()
    if producer is None or producer.graph is None or (is_op(producer, "Identity") and producer.inputs[0] is new):
        return
    carrier = ir.Node("", "Identity", [new], num_outputs=1)
    output = carrier.outputs[0]
    output.type, output.shape = old.type, old.shape
    _move_name(old, output)
    producer.append(carrier)
    old.replace_all_uses_with(output, replace_graph_outputs=True)


def _merged(first: ir.Shape | None, second: ir.Shape | None) -> ir.Shape | None:
    """Return two shapes of one value as one: sizes before symbols, the symbols of the first before the second's."""
    if first is None or second is None or len(first) != len(second):
        return second if first is None else first
    return ir.Shape(
        other if isinstance(other, int) or (not isinstance(dim, int) and dim.value is None) else dim
        for dim, other in zip(first, second, strict=True)
    )


def _move_name(source: ir.Value, destination: ir.Value) -> None:
    name, source.name = source.name, None
    destination.name = name
