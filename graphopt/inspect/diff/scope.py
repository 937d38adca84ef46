"""A graph as the matching sees it: nodes and who reads what, constants aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.traits import COMMUTATIVE, is_standard
from graphopt.ir.walk import captured_values, has_subgraphs

CAPTURED = -1
ANY = 0


class Reader(NamedTuple):
    """A node that reads a value.

    Attributes:
        node: of the scope in hand.
        slot: the index of the input; ANY where the order of inputs is of no matter, CAPTURED where a subgraph of the
            node reads the value.

    """

    node: ir.Node
    slot: int


@dataclass(frozen=True)
class Scope:
    """A graph, a subgraph or the body of a function.

    Attributes:
        inputs, outputs: of the graph.
        nodes: in topological order, without those of Constant, which are no computation.
        readers: of each value that nodes of this scope read, those inside of their subgraphs included.
        constants: initializers that are no inputs.

    """

    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value | None, ...]
    nodes: tuple[ir.Node, ...]
    readers: dict[ir.Value, list[Reader]]
    constants: tuple[ir.Value, ...]


def scope_of(graph: ir.Graph) -> Scope:
    """Read a verified graph, whose nodes are in topological order."""
    nodes = tuple(node for node in graph if not _is_constant_node(node))
    readers: dict[ir.Value, list[Reader]] = {}
    for node in nodes:
        for slot, value in reads(node):
            readers.setdefault(value, []).append(Reader(node, slot))
    constants = tuple(value for value in graph.initializers.values() if not value.is_graph_input())
    return Scope(tuple(graph.inputs), tuple(graph.outputs), nodes, readers, constants)


def reads(node: ir.Node) -> Iterator[tuple[int, ir.Value]]:
    """Yield the slots of a node that hold a value, and the values that its subgraphs capture."""
    unordered = is_commutative(node)
    for slot, value in enumerate(node.inputs):
        if value is not None:
            yield (ANY if unordered else slot), value
    if has_subgraphs(node):
        for value in dict.fromkeys(captured_values(node)):
            yield CAPTURED, value


def is_commutative(node: ir.Node) -> bool:
    """Whether the order of a node's inputs is of no matter, by ONNX's definition of the operator."""
    return node.op_type in COMMUTATIVE and is_standard(node)


def _is_constant_node(node: ir.Node) -> bool:
    return node.op_type == "Constant" and constant_tensor(node.outputs[0]) is not None
