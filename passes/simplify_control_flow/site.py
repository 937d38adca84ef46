"""Where nodes are put in the place of the one that held them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.ir.copying import Copier
from graphopt.ir.dead import erase, erase_unread
from graphopt.ir.edit import Names, replace_value
from graphopt.ir.materialize import tensor_of
from graphopt.ir.walk import is_op
from graphopt.pipeline.check import output_name
from graphopt.pipeline.context import Context
from graphopt.rewrite.provenance import Origin, annotate, merged
from graphopt.tensors import Array

NAME = "simplify-control-flow"
Values = Mapping[ir.Value, ir.Value | None]


class Scope(NamedTuple):
    """A graph with those in it.

    Attributes:
        opset: of `ai.onnx`, in force there.
        function: the body of a function, which has no initializers; None in the main graph.

    """

    names: Names
    opset: int
    function: ir.Graph | None


class Site:
    """Builds what takes the place of a node, before it, and then lets it go."""

    def __init__(self, scope: Scope, node: ir.Node, ctx: Context) -> None:
        self.opset = scope.opset
        self.node = node
        self.made: list[ir.Node] = []
        self._scope = scope
        self._ctx = ctx
        self._constants: list[ir.Value] = []

    def constant(self, base: str, tensor: ir.TensorProtocol) -> ir.Value:
        """Make a constant in the node's graph: an initializer, or in the body of a function a Constant node."""
        graph = self.node.graph
        if graph is self._scope.function:
            return self.op("Constant", base, [], value=tensor)
        value = ir.Value(name=self._scope.names.fresh(base), const_value=tensor)
        value.type, value.shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
        if isinstance(graph, ir.Graph):
            graph.register_initializer(value)
        self._constants.append(value)
        return value

    def array(self, base: str, array: Array) -> ir.Value:
        """Make a constant of an array."""
        return self.constant(base, tensor_of(array))

    def op(
        self, op_type: str, base: str, inputs: Sequence[ir.Value], **attributes: int | Sequence[int] | ir.TensorProtocol
    ) -> ir.Value:
        """Make a node of `ai.onnx` with one output."""
        made = ir.node(op_type, inputs, attributes)
        made.outputs[0].name = self._scope.names.fresh(base)
        self.insert([made])
        return made.outputs[0]

    def insert(self, nodes: Sequence[ir.Node]) -> None:
        """Put nodes before the one that goes."""
        self.node.prepend(nodes)
        self.made += nodes

    def stack(self, base: str, elements: Sequence[ir.Value]) -> ir.Value:
        """Concatenate tensors along a new first axis."""
        if self.opset < 13:
            rows = [self.op("Unsqueeze", f"{base}_row", [value], axes=[0]) for value in elements]
        else:
            axes = self.array(f"{base}_axes", np.array([0], np.int64))
            rows = [self.op("Unsqueeze", f"{base}_row", [value, axes]) for value in elements]
        return self.op("Concat", base, rows, axis=0) if len(rows) > 1 else rows[0]

    def hoist(self, graph: ir.Graph) -> dict[ir.Value, ir.Value | None]:
        """Move up the constants of a graph that goes with the node; return what stands for each."""
        self._scope.names.release(graph)
        return {
            value: self.constant(str(value.name), value.const_value)
            for value in graph.initializers.values()
            if value.const_value is not None and not value.is_graph_input()
        }

    def copy(self, graph: ir.Graph, values: Values, *, rule: str, keep_symbols: bool, turn: str = "") -> list[ir.Value]:
        """Copy the nodes of a graph; return what stands for its outputs."""
        prefix = f"{self.node.name or output_name(self.node)}/{turn}"
        copier = Copier(self._scope.names, dict(values), prefix=prefix, keep_symbols=keep_symbols)
        nodes = copier.nodes(graph)
        origin = Origin(NAME, rule, output_name(self.node))
        for original, copy in zip(graph, nodes, strict=True):
            annotate((copy,), merged((self.node, original), origin))
            self._ctx.derived((copy,), (self.node, original))
        self.insert(nodes)
        return [copier.output(value) for value in graph.outputs]

    def finish(self, results: Iterable[ir.Value | None]) -> list[ir.Node]:
        """Replace the node by its results, None where nothing reads it; return the nodes that stay."""
        for output, result in zip(self.node.outputs, results, strict=True):
            if result is not None:
                replace_value(output, result)
        read = erase(self.node)
        made = [value for node in self.made for value in node.outputs]
        erase_unread((*read, *made, *self._constants))
        return [node for node in self.made if node.graph is not None]


def given_through(value: ir.Value, graph: ir.Graph) -> ir.Value:
    """Return the value that an output of a graph is equal to, by the Identity nodes of that graph."""
    producer = value.producer()
    while producer is not None and producer.graph is graph and is_op(producer, "Identity"):
        source = producer.inputs[0]
        if source is None:
            break
        value, producer = source, source.producer()
    return value


def is_inside(value: ir.Value, graph: ir.Graph) -> bool:
    """Whether a graph defines the value itself."""
    producer = value.producer()
    return (value.graph if producer is None else producer.graph) is graph


def body_of(node: ir.Node, name: str) -> ir.Graph | None:
    """Return the graph that a node holds, or None where the caller of a function gives it."""
    attribute = node.attributes.get(name)
    return None if attribute is None or attribute.is_ref() else attribute.as_graph()


def rebuild(node: ir.Node, inputs: Sequence[ir.Value | None], kept: Sequence[int]) -> list[ir.Node]:
    """Replace a node by one that reads `inputs` and has only the outputs `kept`, and return that; by none without.

    The graphs in it move over.
    """
    made = [_shrunk(node, inputs, kept)] if kept else []
    erase_unread(erase(node))
    return made


def _shrunk(node: ir.Node, inputs: Sequence[ir.Value | None], kept: Sequence[int]) -> ir.Node:
    attributes = tuple(node.attributes.values())
    node.attributes.clear()
    made = ir.Node(
        node.domain,
        node.op_type,
        inputs,
        attributes,
        num_outputs=len(kept),
        name=node.name,
        doc_string=node.doc_string,
        metadata_props=dict(node.metadata_props),
    )
    node.prepend(made)
    for index, output in zip(kept, made.outputs, strict=True):
        old = node.outputs[index]
        name, old.name = old.name, None
        output.name, output.type, output.shape = name, old.type, old.shape
        old.replace_all_uses_with(output, replace_graph_outputs=True)
    return made
