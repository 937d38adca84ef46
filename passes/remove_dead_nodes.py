"""remove-dead-nodes: what nothing reads need not be computed, stored or defined."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import onnx
import onnx_ir as ir

from graphopt.ir.dead import erase, erase_initializer, erase_uncalled, is_dead, is_unread
from graphopt.ir.traits import is_standard
from graphopt.ir.walk import subgraphs
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context

# Before opset 14 the number of its outputs tells a BatchNormalization whether it trains.
_OUTPUTS_HAVE_MEANING = frozenset({"BatchNormalization"})


class RemoveDeadNodes(Pass):
    """Remove nodes, optional outputs, initializers and functions that nothing reads.

    Inputs of a graph stay, with the defaults that they may have: they are how the model is called.
    """

    name: ClassVar[str] = "remove-dead-nodes"

    def run(self, model: ir.Model, ctx: Context) -> int:  # noqa: ARG002  # dead code needs no explanation
        """Go backward through each graph, so that whatever only dead nodes read is dead when it is reached."""
        changes = erase_uncalled(model)
        changes += _sweep(model.graph, model.opset_imports.get("", 0))
        for function in model.functions.values():
            changes += _sweep(function.graph, function.opset_imports.get("", 0))
        return changes + erase_uncalled(model)


def _sweep(graph: ir.Graph, opset: int) -> int:
    changes = 0
    for node in reversed(graph):
        if is_dead(node):
            erase(node)
            changes += 1
            continue
        changes += sum(_sweep(subgraph, opset) for subgraph in subgraphs(node))
        changes += _trim_outputs(node, opset)
    return changes + sum(map(erase_initializer, tuple(graph.initializers.values())))


def _trim_outputs(node: ir.Node, opset: int) -> int:
    """Drop trailing optional outputs that nothing reads; return how many."""
    if not is_standard(node) or node.op_type in _OUTPUTS_HAVE_MEANING:
        return 0
    count = len(node.outputs)
    while count > _required_outputs(node.op_type, opset) and is_unread(node.outputs[count - 1]):
        count -= 1
    dropped = len(node.outputs) - count
    if dropped:
        node.resize_outputs(count)
    return dropped


@cache
def _required_outputs(op_type: str, opset: int) -> int:
    """Return the length of a node's outputs without the optional ones that end them."""
    try:
        outputs = onnx.defs.get_schema(op_type, opset).outputs
    except onnx.defs.SchemaError:
        return 1 << 30
    required = [
        index
        for index, output in enumerate(outputs)
        if output.option != onnx.defs.OpSchema.FormalParameterOption.Optional
    ]
    variadic = bool(outputs) and outputs[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    return 1 << 30 if variadic else max(required, default=-1) + 1
