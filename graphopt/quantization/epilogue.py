"""What is computed on the sums of a product while they are in its accumulator, before anything becomes integers.

Such functions of single elements are computed in float32 by the kernel that makes the sums. To round what they read
would cost accuracy and save nothing: a HardSwish of sums from -60 to 60 bends between -3 and 3, where integers that
span all of them would lie half apart.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

import onnx_ir as ir

from graphopt.ir.constants import is_constant
from graphopt.ir.fusible import is_elementwise
from graphopt.ir.walk import is_op


def epilogue_of(product: ir.Node) -> list[ir.Node]:
    """Return the nodes that work on what a product makes, in the order of the graph.

    Each computes single elements of nothing but that and constants. What they make is read by others in one place only:
    the result of the last one.
    """
    if not isinstance(product.graph, ir.Graph):
        return []
    found: list[ir.Node] = []
    made, ending = {product.outputs[0]: None}, 0
    while True:
        leaving = [value for value in made if _leaves(value, found)]
        if len(leaving) == 1 and found and leaving[0] is found[-1].outputs[0]:
            ending = len(found)
        following = next(_following(leaving, made, product), None)
        if following is None:
            return found[:ending]
        found.append(following)
        made[following.outputs[0]] = None


def _leaves(value: ir.Value, nodes: Container[ir.Node]) -> bool:
    return value.is_graph_output() or any(reader not in nodes for reader in value.consumers())


def _following(values: Iterable[ir.Value], made: Container[ir.Value], product: ir.Node) -> Iterator[ir.Node]:
    """Yield the readers of values that need nothing but constants besides what has been made."""
    for value in values:
        for reader in value.consumers():
            if reader.graph is product.graph and reader.outputs[0] not in made and _is_function(reader, value, made):
                yield reader


def _is_function(node: ir.Node, value: ir.Value, made: Container[ir.Value]) -> bool:
    output = node.outputs[0]
    return (
        is_elementwise(node)
        and not is_op(node, "Cast")
        and output.dtype is ir.DataType.FLOAT
        and output.shape is not None
        and output.shape == value.shape
        and all(read is None or read in made or is_constant(read) for read in node.inputs)
    )
