"""What was rounded to integers for readers that compute in float stays rounded, where a float is still there.

A value that comes to exist as integers alone is rounded for all its readers anyway.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from graphopt.ir.edit import Names
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.quantizers import insert, write
from graphopt.quantization.doctor.read import Reading


def keep_roundings(reading: Reading, nodes: Collection[ir.Node]) -> int:
    """Round for those readers that did read integers and do not compute in them; return for how many values.

    Args:
        reading: its values that no node in `nodes` makes are rounded so.
        nodes: those that are to compute in integers.

    """
    names, count = Names(reading.model), 0
    for value, affine in tuple(reading.values.items()):
        if value.producer() in nodes:
            continue
        uses = [(node, index) for node, index in value.uses() if (node, index) in reading.rounded and node not in nodes]
        answers = value in reading.answers and value.is_graph_output()
        if uses or answers:
            _round(reading, value, affine, uses, answers, names)
            count += 1
    return count


def _round(
    reading: Reading, value: ir.Value, affine: Affine, uses: list[tuple[ir.Node, int]], answers: bool, names: Names
) -> None:
    graph, name = reading.model.graph, str(value.name)
    if answers:
        value.name = names.fresh(f"{name}_unrounded")
    quantize = write(graph, names, "QuantizeLinear", value, affine, names.fresh(f"{name}_integers"))
    insert(quantize, graph)
    held = name if answers else names.fresh(f"{name}_rounded")
    dequantize = write(graph, names, "DequantizeLinear", quantize.outputs[0], affine, held)
    insert(dequantize, graph)
    (rounded,) = dequantize.outputs
    for node, index in uses:
        node.replace_input_with(index, rounded)
    if answers:
        for index, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[index] = rounded
