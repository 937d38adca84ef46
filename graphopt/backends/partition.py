"""Who runs which node: a graph cut into convex regions, each for one executor.

A region is convex when no path leaves it and comes back, so that it can run as one call. Regions are levels:
a node's level is the largest number of changes of executor on a path to it, which never falls along an edge;
so nodes of one level and one executor form a convex region, and the levels in order are a schedule with as
few regions as the longest path allows. What reads constants alone (weights that are dequantized) goes with its first
reader, who then knows the constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import networkx
import onnx_ir as ir

from graphopt.ir.constants import is_constant
from graphopt.ir.walk import is_op, reads


class Executor(StrEnum):
    """Who can run a region."""

    TVM = "tvm"
    ONNXRUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Region:
    """Nodes for one executor, in topological order.

    Attributes:
        inputs: values read from outside, constants aside.
        outputs: values that other regions or the graph's outputs read.

    """

    executor: Executor
    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]


@dataclass(frozen=True)
class Partition:
    """A graph as regions in the order of execution, and why a node is not TVM's."""

    regions: tuple[Region, ...]
    reasons: dict[ir.Node, str]


def partition(graph: ir.Graph, refusal: Callable[[ir.Node], str | None]) -> Partition:
    """Cut a graph; `refusal` says why TVM cannot take a node, or None where it can."""
    nodes = [node for node in graph if not is_op(node, "Constant")]
    reasons = {node: reason for node in nodes if (reason := refusal(node)) is not None}
    regions: dict[tuple[int, Executor], list[ir.Node]] = {}
    for node, level in _levels(nodes, reasons).items():
        regions.setdefault((level, _executor(node, reasons)), []).append(node)
    outputs = frozenset(graph.outputs)
    ordered = (_region(executor, regions[level, executor], outputs) for level, executor in sorted(regions))
    return Partition(tuple(ordered), reasons)


def _executor(node: ir.Node, reasons: dict[ir.Node, str]) -> Executor:
    return Executor.ONNXRUNTIME if node in reasons else Executor.TVM


def _levels(nodes: Sequence[ir.Node], reasons: dict[ir.Node, str]) -> dict[ir.Node, int]:
    """Return each node's level, in topological order."""
    flow: networkx.DiGraph[ir.Node] = networkx.DiGraph()
    flow.add_nodes_from(nodes)
    for node in nodes:
        producers = (value.producer() for value in reads(node))
        flow.add_edges_from((producer, node) for producer in producers if producer in flow)
    levels: dict[ir.Node, int] = {}
    for node in networkx.topological_sort(flow):
        executor = _executor(node, reasons)
        levels[node] = max(
            (levels[before] + (_executor(before, reasons) is not executor) for before in flow.predecessors(node)),
            default=0,
        )
    for node in nodes:
        if flow.out_degree(node) and all(map(is_constant, reads(node))):
            executor = _executor(node, reasons)
            levels[node] = min(
                levels[reader] - (_executor(reader, reasons) is not executor) for reader in flow.successors(node)
            )
    return levels


def _region(executor: Executor, nodes: Sequence[ir.Node], graph_outputs: frozenset[ir.Value]) -> Region:
    own = frozenset(nodes)
    inputs = (value for node in nodes for value in reads(node) if value.producer() not in own)
    made = (value for node in nodes for value in node.outputs)
    return Region(
        executor,
        tuple(nodes),
        _unique(value for value in inputs if not is_constant(value)),
        _unique(value for value in made if value in graph_outputs or _is_read_outside(value, own)),
    )


def _is_read_outside(value: ir.Value, region: frozenset[ir.Node]) -> bool:
    """Whether a node that is not directly in the region reads the value; nodes of subgraphs count as outside."""
    return any(user not in region for user in value.consumers())


def _unique(values: Iterable[ir.Value]) -> tuple[ir.Value, ...]:
    return tuple(dict.fromkeys(values))
