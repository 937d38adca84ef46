"""What an If need not decide."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dead import erase_unread, is_unread
from graphopt.ir.edit import replace_value
from graphopt.pipeline.context import Context
from passes.simplify_control_flow.site import Scope, Site, body_of, given_through, is_inside, rebuild

_BRANCHES = ("then_branch", "else_branch")


def splice_branch(node: ir.Node, scope: Scope, ctx: Context) -> list[ir.Node] | None:
    """Put the branch of a constant condition in the place of the If; return its nodes, None where that is unknown.

    Nodes that may answer differently each time are asked once before and once after.
    """
    condition = constant(node.inputs[0])
    if condition is None or condition.size != 1:
        return None
    taken, left = _BRANCHES if condition.item() else _BRANCHES[::-1]
    branch, other = body_of(node, taken), body_of(node, left)
    if branch is None or len(branch.outputs) != len(node.outputs):
        return None
    ctx.applied(node, f"its condition is always {bool(condition.item())}".lower())
    site = Site(scope, node, ctx)
    if other is not None:
        scope.names.release(other)
    values = site.hoist(branch)
    results = site.copy(branch, values, rule="splice-branch", keep_symbols=True)
    return site.finish(None if is_unread(old) else new for old, new in zip(node.outputs, results, strict=True))


def drop_outputs(node: ir.Node, ctx: Context) -> list[ir.Node] | None:
    """Let an If not compute what both branches take from outside alike, nor what nothing reads.

    Returns the If that is left, if one is; None where it stays as it is.
    """
    branches = [body_of(node, name) for name in _BRANCHES]
    graphs = [branch for branch in branches if branch is not None and len(branch.outputs) == len(node.outputs)]
    if len(graphs) != len(_BRANCHES) or all(map(is_unread, node.outputs)):
        return None
    for index, output in enumerate(node.outputs):
        same = _common(index, graphs)
        if same is not None and not is_unread(output):
            ctx.applied(node, f"both branches give {same.name!r}")
            replace_value(output, same)
    kept = [index for index, output in enumerate(node.outputs) if not is_unread(output)]
    if len(kept) == len(node.outputs):
        return None
    ctx.applied(node, "outputs that nothing reads are not computed")
    for graph in graphs:
        before = tuple(graph.outputs)
        graph.outputs[:] = [before[index] for index in kept]
        erase_unread(before)
    return rebuild(node, node.inputs, kept)


def _common(index: int, graphs: list[ir.Graph]) -> ir.Value | None:
    first, second = (given_through(graph.outputs[index], graph) for graph in graphs)
    return first if first is second and not is_inside(first, graphs[0]) else None
