"""The weights of a model: each constant that layers multiply with once, however many of them read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import onnx_ir as ir

from graphopt.calibration.gram import Gram
from graphopt.ir.constants import constant
from graphopt.ir.walk import is_op
from graphopt.quantization.obstacles import WEIGHT
from graphopt.quantization.refine import MEASURED
from graphopt.quantization.rows import Float64, from_rows, to_rows, weight_of
from graphopt.tensors import Array


@dataclass(frozen=True)
class Weight:
    """An initializer of floating-point numbers, and who multiplies with it.

    Attributes:
        value: the initializer; nothing else than the nodes reads it.
        nodes: Conv, ConvTranspose, Gemm or MatMul, which all take it for the same rows (`graphopt.quantization.rows`).

    """

    value: ir.Value
    nodes: tuple[ir.Node, ...]

    @property
    def name(self) -> str:
        """The initializer's."""
        return str(self.value.name)

    @property
    def array(self) -> Array:
        """What it holds."""
        found = constant(self.value)
        if found is None:
            raise ValueError(f"{self.name!r} holds no tensor")
        return found

    @property
    def rows(self) -> Float64:
        """What it holds, as [groups, channels out / group, columns]."""
        return np.asarray(to_rows(self.nodes[0], self.array.astype(np.float64)))

    @property
    def taps(self) -> int:
        """How many columns an input channel has: those of a window, side by side; one of a matrix."""
        return math.prod(self.array.shape[2:])

    def put(self, rows: Float64) -> None:
        """Hold other rows, rounded to the type of the old ones."""
        old = self.array
        array = np.ascontiguousarray(from_rows(self.nodes[0], rows, old.shape)).astype(old.dtype)
        self.value.const_value = ir.tensor(array, name=self.name)


def weights_of(model: ir.Model) -> list[Weight]:
    """Return the weights of the main graph, in the order in which nodes read them.

    A weight that is an output too, or that somebody takes for other rows or for something else, is none of these.
    """
    readers: dict[ir.Value, list[ir.Node]] = {}
    for node in model.graph:
        array = weight_of(node)
        value = node.inputs[WEIGHT] if array is not None else None
        if value is not None and value.is_initializer() and array is not None and _is_real(array.dtype):
            readers.setdefault(value, []).append(node)
    return [Weight(value, tuple(nodes)) for value, nodes in readers.items() if _is_alike(value, nodes)]


def grams_wanted(weights: list[Weight]) -> list[str]:
    """Return the names, of first outputs, of the nodes whose Gram matrices say what the weights are multiplied with."""
    return [str(node.outputs[0].name) for weight in weights for node in weight.nodes if node.op_type in MEASURED]


def gram_of(weight: Weight, grams: Mapping[str, Gram]) -> Gram | None:
    """Return the Gram matrix of all that a weight is multiplied with, None where that of a reader is not known."""
    found = [grams.get(str(node.outputs[0].name)) for node in weight.nodes]
    known = [gram for gram in found if gram is not None]
    return reduce(Gram.merge, known) if len(known) == len(found) else None


def _is_real(dtype: np.dtype[Any]) -> bool:
    return ir.DataType.from_numpy(dtype).is_floating_point()


def _is_alike(value: ir.Value, nodes: list[ir.Node]) -> bool:
    """Whether all uses of a value are these nodes, which lay it out alike."""
    layouts = {
        (
            node.op_type,
            node.attributes.get_int("group", 1),
            is_op(node, "Gemm") and node.attributes.get_int("transB", 0),
        )
        for node in nodes
    }
    return len(layouts) == 1 and len(value.uses()) == len(nodes) and not value.is_graph_output()
