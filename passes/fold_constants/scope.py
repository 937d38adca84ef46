"""Where constants live: the main graph with its subgraphs, or a function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import onnx_ir as ir

from graphopt.ir.walk import nodes_within


class Scope(NamedTuple):
    """A graph, and the opsets that its nodes are written in."""

    graph: ir.Graph
    opset_imports: Mapping[str, int]
    in_function: bool

    def nodes(self) -> Iterator[ir.Node]:
        """Yield all nodes, those of a subgraph after the node that holds it; safe against removal."""
        return iter(tuple(nodes_within(self.graph)))


def scopes_of(model: ir.Model) -> Iterator[Scope]:
    """Yield the main graph, then each function."""
    yield Scope(model.graph, model.opset_imports, in_function=False)
    for function in model.functions.values():
        yield Scope(function.graph, function.opset_imports, in_function=True)
