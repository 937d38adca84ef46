"""Channels that can only leave a network together, and groups of those that are alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.ir.constants import constant_tensor

IntArray = npt.NDArray[np.int64]
Place = tuple[str, int]
"""An axis of a value: the value's name (for a constant `name_of_operand`'s), and the axis."""

Removal = Mapping[str, Collection[int]]
"""By the name of a group, the numbers of the channels that leave."""


@dataclass(frozen=True, eq=False)
class Channel:
    """What leaves together.

    Attributes:
        places: by axis of a value, the indices that leave along it, ascending.

    """

    places: Mapping[Place, IntArray]


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that are alike: they have the same places, each with as many indices.

    Attributes:
        name: that of the first value in the order of the graph that carries them, the same for the same model; where
            several groups begin there, the later ones get `#1`, `#2` and so on behind it.
        channels: in the order of their first indices there.
        producers: the nodes whose weight makes these channels.
        consumers: the nodes whose weight sums over them.

    """

    name: str
    channels: tuple[Channel, ...]
    producers: tuple[ir.Node, ...]
    consumers: tuple[ir.Node, ...]


class Sum(NamedTuple):
    """An operand along whose axis a node sums: where it is zero, the channel contributes nothing.

    Attributes:
        node: the name of the node's first output.
        operand: the index of the input, a constant where one of both factors is.
        axis: of the operand.

    """

    node: str
    operand: int
    axis: int


@dataclass(frozen=True, eq=False)
class Coupling:
    """What of a model can leave, and what cannot.

    Attributes:
        groups: in the order of the graph.
        frozen: why an axis cannot shrink, or not all of it: of computed values and inputs, and of constants that leave
            with them.
        sums: where channels end.

    """

    groups: tuple[Group, ...]
    frozen: Mapping[Place, str]
    sums: tuple[Sum, ...]


def name_of_operand(node: ir.Node, index: int) -> str:
    """Return the name under which the axes of an input of a node are places.

    It is the value's own, but for a vector (at most one axis is longer than 1) that several operands are: equal biases
    and scales are often stored once, by chance, and what one reader sheds the others keep. A matrix that is shared is
    shared on purpose: it shrinks for all its readers, or not at all.
    """
    value = node.inputs[index]
    if value is None:
        raise ValueError(f"input {index} of {node.op_type} is left out")
    if len(value.uses()) > 1 and _is_vector(value):
        return f"{value.name} as input {index} of {node.outputs[0].name}"
    return str(value.name)


def _is_vector(value: ir.Value) -> bool:
    tensor = constant_tensor(value)
    return tensor is not None and sum(dim != 1 for dim in tensor.shape.numpy()) <= 1
