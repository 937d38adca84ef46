"""What was rounded to integers for readers that compute in float stays rounded, where a float is still there.

A value that comes to exist as integers alone is rounded for all its readers anyway.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from graphopt.ir.edit import Names, add_initializer
from graphopt.quantization.affine import Affine
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
    scale = add_initializer(graph, names.fresh(f"{name}_rounding_scale"), affine.scale)
    zero = add_initializer(graph, names.fresh(f"{name}_rounding_zero_point"), affine.zero_point)
    attributes = {} if affine.axis is None else {"axis": affine.axis}
    quantize = ir.node("QuantizeLinear", [value, scale, zero], attributes)
    (integers,) = quantize.outputs
    dequantize = ir.node("DequantizeLinear", [integers, scale, zero], attributes)
    (rounded,) = dequantize.outputs
    integers.name, integers.type = names.fresh(f"{name}_integers"), ir.TensorType(ir.DataType.from_numpy(affine.dtype))
    rounded.name, rounded.type = name if answers else names.fresh(f"{name}_rounded"), value.type
    integers.shape = rounded.shape = value.shape
    producer = value.producer()
    if producer is not None:
        producer.append([quantize, dequantize])
    else:
        next(iter(graph)).prepend([quantize, dequantize])
    for node, index in uses:
        node.replace_input_with(index, rounded)
    if answers:
        for index, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[index] = rounded
