"""Changing the types: constants by copies, attributes in place, Casts where a reader wants another type."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names
from graphopt.ir.walk import is_op, scopes
from passes.convert_float.attributes import retype_attributes
from passes.convert_float.roles import FLOAT, converted_inputs, converted_outputs, is_indifferent


class Retyping:
    """One conversion of a model.

    Args:
        model: changed in place; its types are known.
        nodes: those that are to compute in `dtype`.
        dtype: a narrower float type.
        keep_io: whether inputs and outputs of the main graph stay float32.

    """

    def __init__(self, model: ir.Model, nodes: Collection[ir.Node], dtype: ir.DataType, *, keep_io: bool) -> None:
        self._model = model
        self._nodes = nodes
        self._dtype = dtype
        self._type = ir.TensorType(dtype)
        self._keep_io = keep_io
        self._opset = model.opset_imports.get("", 0)
        self._names = Names(model)
        self._twins: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        self._changes = 0

    def run(self) -> int:
        """Retype everything; return the number of nodes converted and of Casts added."""
        reads = {node: converted_inputs(node, self._dtype, self._opset) for node in self._nodes}
        results = dict.fromkeys(
            value for node in self._nodes for value in converted_outputs(node, self._dtype, self._opset)
        )
        if not self._keep_io:
            results |= dict.fromkeys(value for value in self._model.graph.inputs if value.type == FLOAT)
        others = [
            (node, index)
            for value in results
            for node, index in value.uses()
            if index not in reads.get(node, ()) and not is_indifferent(node)
        ]
        for value in results:
            value.type = self._type
        for node, indices in reads.items():
            retype_attributes(node, self._dtype)
            for index in indices:
                self._feed(node, index, self._dtype)
        for node, index in others:
            self._feed(node, index, ir.DataType.FLOAT)
        for graph in scopes(self._model):
            if isinstance(graph, ir.Graph):
                self._settle_outputs(graph, results)
        self._inherit_names()
        return self._changes + len(self._nodes)

    def _feed(self, node: ir.Node, index: int, dtype: ir.DataType) -> None:
        """Let a node read its input in a type."""
        value = node.inputs[index]
        if value is not None and value.dtype is not dtype:
            node.replace_input_with(index, self._twin(value, dtype))
            erase_unread([value])

    def _twin(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Return a value in another type: a copy of a constant, a Cast of anything else; each once."""
        key = (value, dtype)
        if key not in self._twins:
            self._twins[key] = _before_cast(value, dtype) or self._made(value, dtype)
        return self._twins[key]

    def _inherit_names(self) -> None:
        """Give copies of constants that are gone the names by which their users know them."""
        for (value, _), twin in self._twins.items():
            if value.graph is None and value.producer() is None and twin.is_initializer():
                twin.name = value.name

    def _made(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        tensor = constant_tensor(value)
        return self._cast(value, dtype) if tensor is None else self._copy(value, tensor, dtype)

    def _copy(self, value: ir.Value, tensor: ir.TensorProtocol, dtype: ir.DataType) -> ir.Value:
        owner = value.graph
        if not isinstance(owner, ir.Graph):
            raise TypeError(f"constant {value.name!r} is in no graph")
        name = self._names.fresh(f"{value.name}_{dtype.name.lower()}")
        array = tensor.numpy().astype(dtype.numpy())
        narrow = ir.Tensor(array, dtype=dtype, name=name)
        copy = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(array.shape), const_value=narrow)
        owner.register_initializer(copy)
        return copy

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        cast = ir.node("Cast", [value], {"to": int(dtype)})
        output = cast.outputs[0]
        output.name = self._names.fresh(f"{value.name}_{dtype.name.lower()}")
        output.type, output.shape = ir.TensorType(dtype), value.shape
        producer, graph = value.producer(), value.graph
        if producer is not None:
            producer.append(cast)
        elif isinstance(graph, ir.Graph) and len(graph):
            graph[0].prepend(cast)
        else:
            raise ValueError(f"value {value.name!r} is in no graph with nodes")
        self._changes += 1
        return output

    def _settle_outputs(self, graph: ir.Graph, results: Collection[ir.Value]) -> None:
        """Give each output of a graph its promised type under its own name."""
        narrow = graph is self._model.graph and not self._keep_io
        for index, value in enumerate(graph.outputs):
            if value in results and not narrow:
                graph.outputs[index] = self._renamed(value, ir.DataType.FLOAT)
            elif narrow and value.type == FLOAT and value.producer() is not None:
                graph.outputs[index] = self._renamed(value, self._dtype)

    def _renamed(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Return the twin of a graph output, which takes over its name."""
        twin = self._twin(value, dtype)
        if not twin.is_graph_output():
            name, value.name = value.name, None
            value.name, twin.name = self._names.fresh(f"{name}_{self._dtype.name.lower()}"), name
        return twin


def _before_cast(value: ir.Value, dtype: ir.DataType) -> ir.Value | None:
    """Return what a Cast widened, if that had the wanted type: there and back is the same number."""
    cast = value.producer()
    source = cast.inputs[0] if cast is not None and is_op(cast, "Cast") else None
    return source if source is not None and source.dtype is dtype else None
