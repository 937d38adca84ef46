"""Which nodes one kernel computes: decided by the pass fuse-operators, read back from its functions."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from graphopt.compiler.optimize import optimize
from graphopt.ir.fused import DOMAIN
from graphopt.targets import Target

FUSION = "fuse-operators"


def kernels_of(model: ir.Model, target: Target) -> dict[ir.Node, str]:
    """Return, for nodes of the main graph that share a kernel with others, the name of the kernel's result.

    The model stays as it is: its nodes keep the names that the user knows.
    """
    fused, _ = optimize(model, FUSION, target=target)
    return {
        node: str(call.outputs[0].name)
        for node, call in computed_by(model.graph, fused.graph).items()
        if call.domain == DOMAIN
    }


def computed_by(graph: ir.Graph, fused: ir.Graph) -> dict[ir.Node, ir.Node]:
    """Return which node of a fused graph, a call of a kernel or the node itself, computes each node of a graph."""
    producers = {value.name: node for node in graph for value in node.outputs}
    found: dict[ir.Node, ir.Node] = {}
    for one in fused:
        if one.domain == DOMAIN:
            found.update(dict.fromkeys(_cone(producers, one), one))
        else:
            found.update((producers[value.name], one) for value in one.outputs if value.name in producers)
    return found


def _cone(producers: dict[str | None, ir.Node], call: ir.Node) -> Iterator[ir.Node]:
    """Yield the nodes between what a call reads and its result, which have the same names in both models."""
    read = {value.name for value in call.inputs if value is not None}
    seen: set[ir.Node] = set()
    pending = [call.outputs[0].name]
    while pending:
        node = producers[pending.pop()]
        if node not in seen:
            seen.add(node)
            yield node
            pending.extend(value.name for value in node.inputs if value is not None and value.name not in read)
