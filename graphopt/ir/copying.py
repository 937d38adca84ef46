"""Copying the nodes of one graph into another: a function into its caller, a branch or a body into what holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.ir.edit import Names

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


@dataclass
class Copier:
    """Copies nodes, reading other values, under names that are free in the model.

    Attributes:
        names: those taken; the copies take theirs.
        values: what stands for a value of the original, None where an input is absent. A value that is not
            listed stands for itself: it is captured from around the original. Copied values are added.
        attributes: what stands for a reference to an attribute of a function; one that is not listed drops
            the attribute that refers to it (ONNX IR spec, Functions). None keeps references as they are.
        prefix: put before the names of nodes, which need not be unique.
        keep_symbols: whether the names of the original's dimensions mean the same where the copy stands.

    """

    names: Names
    values: dict[ir.Value, ir.Value | None]
    attributes: Mapping[str, ir.Attr] | None = None
    prefix: str = ""
    keep_symbols: bool = True

    def nodes(self, graph: ir.Graph) -> list[ir.Node]:
        """Copy all nodes of a graph, in order; they belong to no graph yet."""
        return [self._node(node) for node in graph]

    def graph(self, graph: ir.Graph) -> ir.Graph:
        """Copy a whole graph; its constants share their tensors with the original's."""
        inputs = [self._value(value) for value in graph.inputs]
        initializers = [self._initializer(value) for value in graph.initializers.values()]
        nodes = self.nodes(graph)
        outputs = [self.output(value) for value in graph.outputs]
        return ir.Graph(
            inputs, outputs, nodes=nodes, initializers=initializers, name=graph.name, doc_string=graph.doc_string
        )

    def output(self, value: ir.Value) -> ir.Value:
        """Return what stands for an output; raises ValueError where that is an absent input."""
        copy = self.values.get(value, value)
        if copy is None:
            raise ValueError(f"output {value.name!r} is an input that is absent")
        return copy

    def _node(self, node: ir.Node) -> ir.Node:
        copy = ir.Node(
            node.domain,
            node.op_type,
            [None if value is None else self.values.get(value, value) for value in node.inputs],
            [made for attribute in node.attributes.values() for made in self._attribute(attribute)],
            overload=node.overload,
            num_outputs=len(node.outputs),
            name=f"{self.prefix}{node.name}" if node.name else None,
            doc_string=node.doc_string,
            metadata_props=dict(node.metadata_props),
        )
        for original, output in zip(node.outputs, copy.outputs, strict=True):
            self._describe(original, output)
        return copy

    def _attribute(self, attribute: ir.Attr) -> Iterator[ir.Attr]:
        if attribute.is_ref() and self.attributes is not None:
            given = self.attributes.get(str(attribute.ref_attr_name))
            if given is None:
                return
            if given.is_ref():
                yield ir.RefAttr(attribute.name, str(given.ref_attr_name), attribute.type)
                return
            attribute = ir.Attr(attribute.name, given.type, given.value, doc_string=given.doc_string)
        if attribute.is_ref() or attribute.type not in _GRAPHS:
            yield attribute
        elif attribute.type is ir.AttributeType.GRAPH:
            yield ir.AttrGraph(attribute.name, self.graph(attribute.as_graph()))
        else:
            yield ir.AttrGraphs(attribute.name, [self.graph(graph) for graph in attribute.as_graphs()])

    def _initializer(self, value: ir.Value) -> ir.Value:
        copy = self.values.get(value) or self._value(value)  # one that is an input too is copied already
        copy.const_value = value.const_value
        return copy

    def _value(self, value: ir.Value) -> ir.Value:
        return self._describe(value, ir.Value())

    def _describe(self, original: ir.Value, copy: ir.Value) -> ir.Value:
        copy.name = self.names.fresh(original.name) if original.name else original.name
        copy.type, copy.doc_string = original.type, original.doc_string
        if original.shape is not None:
            dims = original.shape
            copy.shape = ir.Shape(dim if self.keep_symbols or isinstance(dim, int) else None for dim in dims)
        self.values[original] = copy
        return copy
