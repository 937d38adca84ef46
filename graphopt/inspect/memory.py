"""How much memory the values of a run take at once, in the order in which the nodes stand."""

from __future__ import annotations

from typing import NamedTuple

import onnx_ir as ir

from graphopt.ir.constants import is_constant
from graphopt.ir.tensors import size_in_bytes
from graphopt.ir.walk import label, reads


class Peak(NamedTuple):
    """The most that is alive at once.

    Attributes:
        bytes: of inputs, outputs and values between nodes; not of constants, nor of values inside of subgraphs.
        node: the one that runs then.

    """

    bytes: int
    node: str


def activation_peak(graph: ir.Graph) -> Peak | None:
    """Return the peak of a graph that runs in its order and frees each value behind its last reader.

    Outputs and inputs are alive from where they are made to where they are read last, outputs to the end; nothing is
    overwritten in place. None where a size is unknown, or where there is no node.
    """
    nodes = [node for node in graph if not all(is_constant(value) for value in node.outputs)]
    last = {value: index for index, node in enumerate(nodes) for value in reads(node)}
    last |= {value: len(nodes) for value in graph.outputs if value is not None}
    leaving: dict[int, list[ir.Value]] = {}
    for value, index in last.items():
        leaving.setdefault(index, []).append(value)
    sizes: dict[ir.Value, int] = {}
    for value in graph.inputs:
        if value in last and not is_constant(value):
            size = value_bytes(value)
            if size is None:
                return None
            sizes[value] = size
    alive, peak = sum(sizes.values()), None
    for index, node in enumerate(nodes):
        for value in node.outputs:
            size = value_bytes(value) if value in last else 0
            if size is None:
                return None
            sizes[value] = size
            alive += size
        if peak is None or alive > peak.bytes:
            peak = Peak(alive, label(node))
        alive -= sum(sizes.get(value, 0) for value in leaving.get(index, ()))
    return peak


def value_bytes(value: ir.Value) -> int | None:
    """Return the bytes of a dense tensor; None where its dtype or a dimension is unknown, and of strings."""
    if value.dtype in {None, ir.DataType.STRING} or value.shape is None or not isinstance(value.type, ir.TensorType):
        return None
    return size_in_bytes(value.shape, value.dtype)
