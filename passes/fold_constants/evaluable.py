"""Which nodes may be computed ahead of every run, given that all they read is constant."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx_ir as ir

from graphopt.ir.constants import constant, is_constant
from graphopt.ir.traits import has_references, is_random
from graphopt.ir.walk import STANDARD_DOMAINS, has_subgraphs, is_op, nodes_within, subgraphs

LONGEST_LOOP = 10_000
"""Turns of loops, nested ones multiplied, that folding waits for."""

_DOMAINS = STANDARD_DOMAINS | {"ai.onnx.ml"}


def refusal(node: ir.Node) -> str | None:
    """Return why a node is not computed, or None."""
    if is_op(node, "DequantizeLinear") and any(value.uses() for value in node.outputs):
        return "quantization is kept where backends see it"
    reasons = (_own_refusal(part) for part in _with_held(node))
    return next((reason for reason in reasons if reason), None) or _loop_refusal(node)


def waits_for_trip_count(node: ir.Node) -> bool:
    """Whether a node is or holds a loop whose trip count is not constant, or not yet."""
    return any(is_op(part, "Loop") and part.inputs[0] and not is_constant(part.inputs[0]) for part in _with_held(node))


def _with_held(node: ir.Node) -> Iterator[ir.Node]:
    yield node
    if has_subgraphs(node):
        for graph in subgraphs(node):
            yield from nodes_within(graph)


def _own_refusal(node: ir.Node) -> str | None:
    if node.domain not in _DOMAINS:
        return f"operators of domain {node.domain!r} are not evaluated"
    if is_random(node):
        return "its result differs from run to run"
    if has_references(node):
        return "its attributes are given by the function's caller"
    return None


def _loop_refusal(node: ir.Node) -> str | None:
    turns = _turns(node) if has_subgraphs(node) else 1
    if math.isinf(turns):
        return "a loop in it may never end"
    return f"it loops {turns:.0f} times, more than {LONGEST_LOOP}" if turns > LONGEST_LOOP else None


def _turns(node: ir.Node) -> float:
    """Return how often the body of a loop, or of one in it, runs at most; a Scan ends with its input."""
    within = max((_turns(inner) for graph in subgraphs(node) for inner in graph if has_subgraphs(inner)), default=1.0)
    if not is_op(node, "Loop"):
        return within
    count = constant(node.inputs[0])
    return math.inf if count is None else within * max(1, int(count.item()))
