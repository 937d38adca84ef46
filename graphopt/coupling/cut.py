"""What leaves, as the nodes around see it, and how a node gets an operand of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.coupling.groups import Coupling, IntArray, Place, Removal, name_of_operand
from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.materialize import make_constant, tensor_of
from graphopt.tensors import Array

_NOTHING: IntArray = np.zeros(0, np.int64)


class Part(NamedTuple):
    """What leaves an input of a node, by axis."""

    node: ir.Node
    operand: int
    leaving: Mapping[int, IntArray]


class Cut:
    """The indices that leave a model, by place."""

    def __init__(self, model: ir.Model, coupling: Coupling, removal: Removal) -> None:
        self._graph = model.graph
        self._names = Names(model)
        self.opset = model.opset_imports.get("", 0)
        self._removed = _removed(coupling, removal)

    def of(self, value: ir.Value, axis: int) -> IntArray:
        """Return the indices that leave a computed value along an axis, ascending."""
        return self._removed.get((str(value.name), axis), _NOTHING)

    def of_operand(self, node: ir.Node, index: int) -> dict[int, IntArray]:
        """Return what leaves an input of a node, by axis."""
        value = node.inputs[index]
        if value is None:
            return {}
        shape = value.shape if (tensor := constant_tensor(value)) is None else tensor.shape
        name = name_of_operand(node, index)
        found = {axis: self._removed.get((name, axis), _NOTHING) for axis in range(len(shape or ()))}
        return {axis: indices for axis, indices in found.items() if indices.size}

    def constants(self) -> Iterator[Part]:
        """Yield the constant inputs of nodes of which something leaves."""
        for node in self._graph:
            for index, value in enumerate(node.inputs):
                if constant_tensor(value) is not None and (leaving := self.of_operand(node, index)):
                    yield Part(node, index, leaving)

    def fresh(self, base: str) -> str:
        """Return and take a name that is free in the model."""
        return self._names.fresh(base)

    def constant(self, name: str, array: Array) -> ir.Value:
        """Add a constant, under this name or one like it."""
        return add_initializer(self._graph, self._names.fresh(name), array)

    def give(self, node: ir.Node, index: int, array: Array) -> None:
        """Let a node alone read another constant as an input; under the old name, where it alone read the old one."""
        old = node.inputs[index] if index < len(node.inputs) else None
        if old is not None and len(old.uses()) == 1 and not old.is_graph_output():
            replace_content(old, array)
            return
        if index >= len(node.inputs):
            node.resize_inputs(index + 1)
        node.replace_input_with(index, self.constant(str((old or node.outputs[0]).name), array))
        if old is not None:
            erase_unread([old])


Adjust = Callable[[ir.Node, Cut], None]
"""Makes a node's attributes and shape constants fit what leaves. Declared shapes are still the old ones."""


def replace_content(value: ir.Value, array: Array) -> None:
    """Let a constant hold other data, for all who read it."""
    tensor = tensor_of(array)
    if value.producer() is None:
        value.const_value, value.shape = tensor, ir.Shape(array.shape)
    else:
        erase_unread([value, make_constant(value, tensor)])


def _removed(coupling: Coupling, removal: Removal) -> Mapping[Place, IntArray]:
    """Return what leaves by place; raises ModelError where the removal does not fit the coupling."""
    groups = {group.name: group for group in coupling.groups}
    leaving: dict[Place, list[IntArray]] = defaultdict(list)
    for name, numbers in removal.items():
        group = groups.get(name)
        if group is None:
            raise ModelError(f"there is no group {name!r} whose channels could leave this model; plan for this model")
        for number in sorted({int(number) for number in numbers}):
            if not 0 <= number < len(group.channels):
                raise ModelError(
                    f"channel {number} cannot leave the group {name!r}, which has {len(group.channels)}; "
                    "plan for this model"
                )
            for place, indices in group.channels[number].places.items():
                leaving[place].append(indices)
    return {place: np.sort(np.concatenate(indices)) for place, indices in leaving.items()}
