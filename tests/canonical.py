"""A model as text in which only what matters shows: not the names inside, nor the order of independent nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.walk import subgraphs
from graphopt.tensors import Array


@dataclass
class Description:
    """The canonical text of a model, and its initializers by their canonical names."""

    text: str = ""
    constants: dict[str, ir.Value] = field(default_factory=dict)


def describe(model: ir.Model) -> Description:
    """Describe a model: nodes in the order in which the outputs need them, then those that nothing needs."""
    description = Description()
    names = {value: str(value.name) for value in (*model.graph.inputs, *model.graph.outputs)}
    lines = list(_describe_graph(model.graph, names, description, ""))
    for (domain, name, overload), function in sorted(model.functions.items()):
        lines.append(f"function {domain}.{name}:{overload}")
        named = {value: str(value.name) for value in (*function.inputs, *function.outputs)}
        lines += _describe_graph(function.graph, named, description, "  ")
    description.text = "\n".join(lines) + "\n"
    return description


def _describe_graph(
    graph: ir.Graph, names: dict[ir.Value, str], description: Description, indent: str
) -> Iterator[str]:
    for value in graph.inputs:
        names.setdefault(value, f"i{len(names)}")
    yield f"{indent}inputs {', '.join(_typed(value, names) for value in graph.inputs)}"
    for node in _ordered(graph):
        yield from _describe_node(node, names, description, indent)
    for value in graph.initializers.values():
        _name_constant(value, names, description)
    constants = (value for value in graph.initializers.values() if not value.is_graph_input())
    for value in sorted(constants, key=lambda value: names[value]):
        yield f"{indent}constant {_typed(value, names)}"
    yield f"{indent}outputs {', '.join(_typed(value, names) for value in graph.outputs)}"


def _describe_node(node: ir.Node, names: dict[ir.Value, str], description: Description, indent: str) -> Iterator[str]:
    for value in node.inputs:
        if value is not None and value.is_initializer():
            _name_constant(value, names, description)
    inputs = ", ".join("_" if value is None else names[value] for value in node.inputs)
    for value in node.outputs:
        names.setdefault(value, f"v{len(names)}")
    outputs = ", ".join(names[value] if value.name else "_" for value in node.outputs)
    operator = ".".join(filter(None, (node.domain, node.op_type, node.overload)))
    settings = ", ".join(f"{key}={_setting(node.attributes[key])}" for key in sorted(node.attributes))
    yield f"{indent}{outputs} = {operator} <{settings}> ({inputs})"
    for subgraph in subgraphs(node):
        yield from _describe_graph(subgraph, names, description, indent + "  ")


def _name_constant(value: ir.Value, names: dict[ir.Value, str], description: Description) -> None:
    names.setdefault(value, f"c{len(description.constants)}")
    description.constants.setdefault(names[value], value)


def _ordered(graph: ir.Graph) -> list[ir.Node]:
    ordered: dict[ir.Node, None] = {}

    def visit(node: ir.Node | None) -> None:
        if node is None or node.graph is not graph or node in ordered:
            return
        for value in _reads(node):
            visit(value.producer())
        ordered[node] = None

    for value in graph.outputs:
        visit(value.producer())
    return [*ordered, *(node for node in graph if node not in ordered)]


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    yield from (value for value in node.inputs if value is not None)
    for subgraph in subgraphs(node):
        for inner in subgraph:
            yield from _reads(inner)


def _typed(value: ir.Value, names: dict[ir.Value, str]) -> str:
    return f"{names[value]}: {value.dtype} {value.shape}"


def _setting(attribute: ir.Attr) -> str:
    if attribute.is_ref():
        return f"@{attribute.ref_attr_name}"
    if attribute.type is ir.AttributeType.TENSOR:
        return repr(attribute.as_tensor().numpy())
    return attribute.type.name if "GRAPH" in attribute.type.name else repr(attribute.value)


def contents(description: Description) -> dict[str, Array]:
    """Return the data of every constant by its canonical name."""
    arrays = {name: constant(value) for name, value in description.constants.items()}
    return {name: array for name, array in arrays.items() if array is not None}


def is_close(left: Array, right: Array) -> bool:
    """Whether two arrays hold the same numbers but for rounding."""
    if left.dtype.kind != "f":
        return bool(np.array_equal(left, right))
    return bool(np.allclose(left.astype(np.float64), right.astype(np.float64), rtol=1e-5, atol=1e-7, equal_nan=True))
