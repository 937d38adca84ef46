"""What a layer multiplies a channel with: columns of its weight, in each group of the layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.coupling.groups import Channel, Group, IntArray, Place, name_of_operand
from graphopt.errors import ModelError
from graphopt.ir.walk import is_op, label
from graphopt.quantization.rows import Float64, to_rows, weight_of


@dataclass(frozen=True)
class Share:
    """What a layer, or one group of a grouped convolution, sums over the channels of a group.

    Attributes:
        index: of the group of the layer.
        groups: how many the layer has.
        weight: [rows, K], rows as `graphopt.quantization.rows` has them.
        members: the numbers of the channels that have columns here, [m].
        columns: of each, [m, t]: kh·kw for a convolution, the pixels of the channel behind a Flatten.

    """

    index: int
    groups: int
    weight: Float64
    members: IntArray
    columns: IntArray


def shares(node: ir.Node, group: Group) -> Iterator[Share]:
    """Yield what a consumer of a group sums over its channels, nothing where its weight has no rows.

    Raises:
        ModelError: a weight holds a NaN or an infinity.

    """
    weight = weight_of(node)
    if weight is None:
        return
    rows = to_rows(node, weight.astype(np.float64))
    if not np.isfinite(rows).all():
        raise ModelError(f"the weight of node {label(node)} holds a NaN or an infinity; mend the model")
    taps = 1 if is_op(node, "Gemm", "MatMul") else math.prod(weight.shape[2:])
    size = rows.shape[2] // taps
    inputs = [_inputs(node, channel) for channel in group.channels]
    for index, part in enumerate(rows):
        own = [indices[indices // size == index] % size for indices in inputs]
        members = np.array([number for number, indices in enumerate(own) if indices.size], np.int64)
        if members.size:
            starts = np.stack([own[member] for member in members]) * taps
            columns = (starts[:, :, None] + np.arange(taps)).reshape(len(members), -1)
            yield Share(index, len(rows), part, members, columns)


def place_read(node: ir.Node, group: Group) -> Place | None:
    """Return where a consumer reads the channels of a group: its first input, and the axis that they lie along."""
    name = name_of_operand(node, 0)
    return next((place for place in group.channels[0].places if place[0] == name), None)


def _inputs(node: ir.Node, channel: Channel) -> IntArray:
    """Return which of the inputs that a layer sums over are of a channel, counted over all its groups."""
    if is_op(node, "Conv", "ConvTranspose"):
        place = name_of_operand(node, 0), 1
    else:
        place = name_of_operand(node, 1), int(bool(node.attributes.get_int("transB", 0)))
    return channel.places[place]
