"""The boxes that nodes stand in: modules, as exporters write them into names and metadata, subgraphs and functions."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import onnx_ir as ir

from graphopt.ir.walk import has_subgraphs
from graphopt.pipeline.check import output_name

_TORCH = "pkg.torch.onnx.name_scopes"
"""Where PyTorch's exporter writes the modules around a node: a list of their full names, the node's own at its end."""
_FEWEST = 2
"""Nodes that make a module worth a box."""


class Place(NamedTuple):
    """A graph of the model.

    Attributes:
        graph: its nodes.
        name: tells it from the others; empty for the main graph.
        boxes: that it stands in itself, the last being it.

    """

    graph: ir.Graph | ir.Function
    name: str
    boxes: tuple[str, ...]


def places(model: ir.Model) -> Iterator[Place]:
    """Yield the graphs of a model in the order of `graphopt.ir.walk.scopes`."""
    yield from _nested(Place(model.graph, "", ()))
    for function in model.functions.values():
        name = "function " + ".".join(filter(None, (function.domain, function.name, function.overload)))
        yield from _nested(Place(function.graph, name, (name,)))


def _nested(place: Place) -> Iterator[Place]:
    yield place
    for node in place.graph:
        if has_subgraphs(node):
            for attribute, graph in _subgraphs(node):
                name = "/".join(filter(None, (place.name, f"{node.name or output_name(node)}.{attribute}")))
                yield from _nested(Place(graph, name, (*place.boxes, *modules(node, place.name), name)))


def _subgraphs(node: ir.Node) -> Iterator[tuple[str, ir.Graph]]:
    for name, attribute in node.attributes.data.items():
        if attribute.type is ir.AttributeType.GRAPH:
            yield name, attribute.as_graph()
        elif attribute.type is ir.AttributeType.GRAPHS:
            yield from ((f"{name}[{index}]", graph) for index, graph in enumerate(attribute.as_graphs()))


def modules(node: ir.Node, place: str = "") -> tuple[str, ...]:
    """Return the full names of the modules that a node is of, the outermost first, by its metadata or its name.

    A name without modules may be one that a pass, or the IR itself, has made up; that of its output tells more then.
    """
    start = f"{place}/" if place else ""
    if names := _torch_scopes(node.metadata_props.get(_TORCH)):
        return tuple(start + name for name in names)
    name = node.name if node.name and "/" in node.name else output_name(node)
    *parts, _ = name.strip("/").split("/")
    return tuple(start + "/".join(parts[: count + 1]) for count in range(len(parts)))


def _torch_scopes(text: str | None) -> list[str]:
    try:
        held = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    if not isinstance(held, list):
        return []
    return list(dict.fromkeys(str(name) for name in held[:-1] if name))


class Boxes:
    """Says which boxes to draw: those of graphs, and modules of several nodes in the stage that first shows them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def look_at(self, graphs: Iterable[Place], paths: Iterable[Sequence[str]]) -> None:
        """Count the nodes of the modules that no earlier stage has shown."""
        found = Counter(name for path in paths for name in path)
        found |= Counter({place.name: _FEWEST for place in graphs})
        for name, count in found.items():
            self._counts.setdefault(name, count)

    def around(self, path: Iterable[str]) -> tuple[str, ...]:
        """Return those of a path that are to be drawn."""
        return tuple(name for name in path if self._counts[name] >= _FEWEST)
