"""From a group of nodes to a function of the model and a call of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import onnx
import onnx_ir as ir

from graphopt.ir.fused import DOMAIN, kernels
from passes.fuse_operators.groups import Group

LONGEST_NAME = 8
"""Operators that a function's name spells out; of more it gives the number."""
OLDEST_IR_VERSION = 8
"""The first version of the format in which a model has functions."""


class Outliner:
    """Turns groups into functions of one model; equal bodies become one function."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._names = {name for domain, name, _ in model.functions if domain == DOMAIN}
        self._by_body = {_content(function): function for function in kernels(model)}

    def outline(self, group: Group, opset: int) -> ir.Node:
        """Return a call that computes what a group does, in no graph yet.

        Its output is new, of the type and shape of the root's; it has no name.
        """
        body = _Body(group.nodes)
        function = self._function(body.graph(opset), _spelled(group.nodes))
        call = ir.Node(DOMAIN, function.name, list(body.reads), num_outputs=1, name=group.root.name)
        result = group.root.outputs[0]
        call.outputs[0].type, call.outputs[0].shape = result.type, result.shape
        return call

    def _function(self, graph: ir.Graph, name: str) -> ir.Function:
        function = ir.Function(DOMAIN, name, graph=graph, attributes=())
        known = self._by_body.setdefault(_content(function), function)
        if known is function:
            function.name = _fresh(name, self._names)
            self._model.functions[function.identifier()] = function
            self._model.ir_version = max(self._model.ir_version, OLDEST_IR_VERSION)
        return known


class _Body:
    """The nodes of a group again, on values whose names say what they are for: `x`, `w`, `conv`, `y`.

    Neither types nor shapes are written: calls of one function may differ in them.

    Attributes:
        reads: the values that the group reads, each with the parameter that stands for it.

    """

    def __init__(self, nodes: Sequence[ir.Node]) -> None:
        self.reads: dict[ir.Value, ir.Value] = {}
        self._nodes = nodes
        self._names: set[str] = set()
        self._copies: dict[ir.Value, ir.Value] = {}

    def graph(self, opset: int) -> ir.Graph:
        own = {value for node in self._nodes for value in node.outputs}
        for node in self._nodes:
            for index, value in enumerate(node.inputs):
                if value is not None and value not in own and value not in self.reads:
                    name = _fresh(_parameter_name(node.op_type, index, opset), self._names)
                    self.reads[value] = self._copies[value] = ir.Value(name=name)
        copies = [self._copy(node) for node in self._nodes]
        return ir.Graph(list(self.reads.values()), copies[-1].outputs, nodes=copies, opset_imports={"": opset})

    def _copy(self, node: ir.Node) -> ir.Node:
        name = _fresh("y" if node is self._nodes[-1] else node.op_type.lower(), self._names)
        attributes = [node.attributes[key] for key in sorted(node.attributes)]
        inputs = [None if value is None else self._copies[value] for value in node.inputs]
        copy = ir.Node("", node.op_type, inputs, attributes, num_outputs=1, name=name)
        copy.outputs[0].name = name
        self._copies[node.outputs[0]] = copy.outputs[0]
        return copy


@cache
def _parameter_name(op_type: str, index: int, opset: int) -> str:
    """Return what the operator's schema calls an input, in small letters; a variadic one goes by one name."""
    parameters = onnx.defs.get_schema(op_type, opset).inputs
    return str(parameters[min(index, len(parameters) - 1)].name).lower()


def _spelled(nodes: Sequence[ir.Node]) -> str:
    spelled = "".join(node.op_type for node in nodes[:LONGEST_NAME])
    more = len(nodes) - LONGEST_NAME
    return f"{spelled}And{more}More" if more > 0 else spelled


def _content(function: ir.Function) -> bytes:
    """Return what functions have in common that differ in their names alone."""
    proto = ir.serde.serialize_function(function)
    proto.ClearField("name")
    return proto.SerializeToString(deterministic=True)


def _fresh(base: str, taken: set[str]) -> str:
    """Return and take the first name that is free of `base`, `base_1`, `base_2` and so on."""
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name
