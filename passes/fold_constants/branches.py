"""Branches that are never taken: onnxruntime checks them all the same, by the constants that they read."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.walk import captured_by, is_op
from passes.fold_constants.scope import Scope

NEVER_TAKEN = "a branch that is never taken reads it, and need not be valid for what it is"


def read_when_never_taken(scope: Scope, results: Mapping[ir.Value, ir.TensorProtocol]) -> set[ir.Node]:
    """Return the makers of what those branches read that a constant, or one of `results`, rules out.

    An If that is itself computed does not count.
    """
    branches = (_never_taken(node, results) for node in scope.nodes() if is_op(node, "If"))
    values = (value for graph in branches if graph is not None for value in captured_by(graph))
    return {maker for value in values if (maker := value.producer()) is not None}


def _never_taken(node: ir.Node, results: Mapping[ir.Value, ir.TensorProtocol]) -> ir.Graph | None:
    condition = node.inputs[0]
    known = None if condition is None else results.get(condition) or constant_tensor(condition)
    if known is None or known.size != 1 or not results.keys().isdisjoint(node.outputs):
        return None
    branch = node.attributes["else_branch" if known.numpy().item() else "then_branch"]
    return None if branch.is_ref() else branch.as_graph()
