"""The model without the channels that leave: smaller constants, attributes and shapes, the same nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut, Part, replace_content
from graphopt.coupling.groups import Coupling, IntArray, Removal
from graphopt.coupling.rules.table import ADJUSTMENTS
from graphopt.errors import ModelError
from graphopt.ir.constants import constant
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.traits import is_standard
from graphopt.ir.verify import verify
from graphopt.ir.walk import label
from graphopt.tensors import Array


def shrink(model: ir.Model, coupling: Coupling, removal: Removal) -> None:
    """Take channels out of a model in place, `coupling` being that of this model or of one that it is a copy of.

    A constant that others read whole stays for them, and whom channels leave gets one of its own. The shapes of all
    values are inferred, and the model is verified. Its answers are those of `mask`.

    Raises:
        ModelError: a group or channel that the coupling does not have, or all that an axis consists of.

    """
    cut = Cut(model, coupling, removal)
    infer_shapes(model)
    _check_that_something_stays(model.graph, cut)
    parts = tuple(cut.constants())
    for node in model.graph:
        adjust = ADJUSTMENTS.get(node.op_type) if is_standard(node) else None
        if adjust is not None:
            adjust(node, cut)
    _slice(parts, cut)
    for node in model.graph:
        for value in node.outputs:
            _declare(value, cut)
    infer_shapes(model)
    verify(model)


def _check_that_something_stays(graph: ir.Graph, cut: Cut) -> None:
    for node in graph:
        for value in node.outputs:
            for axis, size in enumerate(value.shape or ()):
                if size and cut.of(value, axis).size == size:
                    raise ModelError(
                        f"nothing would be left of axis {axis} of {value.name!r} of {label(node)}; let a channel stay"
                    )


def _slice(parts: Iterable[Part], cut: Cut) -> None:
    """Slice constants: once where all readers lose the same, else for each reader by itself."""
    readers_of: dict[ir.Value, list[Part]] = defaultdict(list)
    for part in parts:
        if (read := part.node.inputs[part.operand]) is not None:
            readers_of[read].append(part)
    for value, readers in readers_of.items():
        array = constant(value)
        if array is None:
            raise ValueError(f"{value.name!r} is no constant any more")
        if len(readers) == len(value.uses()) and not value.is_graph_output() and _are_alike(readers):
            replace_content(value, _without(array, readers[0].leaving))
        else:
            for part in readers:
                cut.give(part.node, part.operand, _without(array, part.leaving))


def _are_alike(parts: Sequence[Part]) -> bool:
    first = parts[0].leaving
    return all(
        part.leaving.keys() == first.keys() and all(np.array_equal(part.leaving[axis], first[axis]) for axis in first)
        for part in parts
    )


def _without(array: Array, leaving: Mapping[int, IntArray]) -> Array:
    for axis, indices in leaving.items():
        array = np.delete(array, indices, axis)
    return array


def _declare(value: ir.Value, cut: Cut) -> None:
    if value.shape is not None:
        value.shape = ir.Shape(
            dim - cut.of(value, axis).size if isinstance(dim, int) else dim for axis, dim in enumerate(value.shape)
        )
