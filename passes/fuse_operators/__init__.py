"""fuse-operators: what one kernel can compute becomes one function of the model."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dead import erase
from graphopt.ir.fused import DOMAIN, VERSION, graphs_with_calls
from graphopt.ir.walk import label
from graphopt.pipeline.base import Pass
from graphopt.pipeline.check import output_name
from graphopt.pipeline.context import Context
from graphopt.pipeline.limit import Step
from graphopt.rewrite.provenance import Origin, annotate, merged
from passes.fuse_operators.cost import CostModel
from passes.fuse_operators.groups import Group, find_groups
from passes.fuse_operators.outline import Outliner


class FuseOperators(Pass):
    """Outline what one kernel can compute as functions of the domain `graphopt.fused`, and call these.

    A kernel holds a convolution or matrix product and the elementwise operators on its result (bias, residual
    sum, normalization, activation), or elementwise operators alone. Values inside are not stored; whether that
    pays is asked of the target (`cost.py`). A function is named after its operators, and equal ones are one.
    Weights are passed to it, so they stay initializers. Whoever knows no such function inlines it.
    """

    name: ClassVar[str] = "fuse-operators"
    counts_rewrites: ClassVar[bool] = True

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Group the nodes of each graph, then replace each group by a call."""
        outliner, cost = Outliner(model), CostModel(ctx.target)
        changes = 0
        for graph, imports in tuple(graphs_with_calls(model)):
            for group in find_groups(graph, cost, ctx):
                if ctx.limit.reached:
                    return changes
                _replace(group, graph, outliner, imports[""], ctx)
                model.opset_imports[DOMAIN] = imports[DOMAIN] = VERSION
                changes += 1
        return changes


def _replace(group: Group, graph: ir.Graph, outliner: Outliner, opset: int, ctx: Context) -> None:
    """Put a call in the place of a group's root, and take the group out of the graph."""
    root, nodes = group.root, group.nodes
    call = outliner.outline(group, opset)
    result, at = root.outputs[0], output_name(root)
    annotate([call], merged(nodes, Origin(ctx.pass_name, call.op_type, at)))
    ctx.derived([call], nodes)
    ctx.applied(root, f"{' + '.join(node.op_type for node in nodes)} -> {call.op_type}")
    ctx.limit.count(Step(ctx.pass_name, call.op_type, at, label(root)))
    result.name, call.outputs[0].name = None, result.name
    graph.insert_before(root, call)
    result.replace_all_uses_with(call.outputs[0], replace_graph_outputs=True)
    for node in reversed(nodes):
        erase(node)
