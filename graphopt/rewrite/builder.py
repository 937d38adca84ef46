"""Building the right side of a rule, apart from the graph until it is known to be good."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphopt.ir.edit import Names
from graphopt.ir.materialize import tensor_of
from graphopt.tensors import Array

AttributeValue = int | float | str | Sequence[int] | Sequence[float] | Sequence[str] | ir.TensorProtocol | ir.Graph


class Refused(Exception):  # noqa: N818 (an answer, not an error)
    """A rule finds, while it builds, that its identity does not hold; says why."""


class Builder:
    """Makes nodes and constants for one rewrite.

    Names derive from the root's output: `y_weight`, `y_matmul`. Whoever replaces the root's output takes
    over its name, type and shape.

    Attributes:
        nodes: the new nodes in the order in which they were made.
        initializers: the new constants that a graph can hold as such.

    """

    def __init__(self, root: ir.Node, names: Names, *, in_function: bool) -> None:
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []
        self._base = next((value.name for value in root.outputs if value.name), root.op_type.lower())
        self._anonymous = not root.name
        self._endings: dict[ir.Value, str] = {}
        self._names = names
        self._in_function = in_function

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: AttributeValue) -> ir.Value:
        """Make a node of `ai.onnx` with one output and return that."""
        return self.ops(op_type, *inputs, outputs=1, **attributes)[0]

    def ops(
        self, op_type: str, *inputs: ir.Value | None, outputs: int, **attributes: AttributeValue
    ) -> Sequence[ir.Value]:
        """Make a node of `ai.onnx` and return its outputs."""
        return self._add(ir.node(op_type, _trimmed(inputs), attributes, num_outputs=outputs))

    def like(self, node: ir.Node, inputs: Sequence[ir.Value | None], **changes: AttributeValue | None) -> ir.Value:
        """Repeat a node on other inputs of the same shapes and return its first and only output.

        It keeps name, attributes and metadata, and the output's type and shape. `changes` sets attributes;
        None drops one, which leaves its default.
        """
        attributes = {name: attribute for name, attribute in node.attributes.items() if name not in changes}
        given = {name: value for name, value in changes.items() if value is not None}
        copy = ir.Node(
            node.domain,
            node.op_type,
            _trimmed(inputs),
            [*attributes.values(), *ir.convenience.convert_attributes(given)],
            num_outputs=1,
            name=node.name,
            doc_string=node.doc_string,
            metadata_props=dict(node.metadata_props),
        )
        shape = node.outputs[0].shape
        copy.outputs[0].type = node.outputs[0].type
        copy.outputs[0].shape = None if shape is None else shape.copy()
        return self._add(copy)[0]

    def constant(self, name: str, array: Array, dtype: ir.DataType | None = None) -> ir.Value:
        """Make a constant, an initializer, or in the body of a function a Constant node.

        With `dtype` the array is the result of arithmetic and is rounded to that type.

        Raises:
            Refused: with `dtype`, an element is not finite or does not fit.

        """
        tensor = tensor_of(array if dtype is None else _rounded(name, array, dtype))
        value = self.op("Constant", value=tensor) if self._in_function else ir.Value(const_value=tensor)
        value.type, value.shape = ir.TensorType(tensor.dtype), ir.Shape(array.shape)
        self._endings[value] = name
        if not self._in_function:
            self.initializers.append(value)
        return value

    def discard(self) -> None:
        """Let go of the graph's values, as if nothing had been built."""
        for node in self.nodes:
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)

    def name_all(self) -> None:
        """Name what has no name yet: values after what they are, nodes after their first output."""
        outputs = [value for node in self.nodes for value in node.outputs]
        for value in (*self.initializers, *outputs):
            if not value.name:
                value.name = self._names.fresh(f"{self._base}_{self._ending(value)}")
        for node in self.nodes:
            node.name = node.name or ("" if self._anonymous else node.outputs[0].name)

    def _ending(self, value: ir.Value) -> str:
        producer = value.producer()
        return self._endings.get(value) or (producer.op_type.lower() if producer else "")

    def _add(self, node: ir.Node) -> Sequence[ir.Value]:
        self.nodes.append(node)
        return node.outputs


def _rounded(name: str, array: Array, dtype: ir.DataType) -> Array:
    rounded = np.asarray(array).astype(dtype.numpy())
    if np.isfinite(rounded).all():
        return rounded
    if np.isfinite(array.astype(np.float64)).all():
        raise Refused(f"the new {name} would overflow {dtype.name.lower()}")
    raise Refused(f"the new {name} would not be finite")


def _trimmed(inputs: Sequence[ir.Value | None]) -> list[ir.Value | None]:
    """Drop absent inputs at the end."""
    present = list(inputs)
    while present and present[-1] is None:
        present.pop()
    return present
