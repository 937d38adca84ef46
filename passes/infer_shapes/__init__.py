"""infer-shapes: what every value's shape is, and what that says about shape arithmetic."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names
from graphopt.ir.materialize import make_constant, tensor_of
from graphopt.ir.shapes import infer_shapes
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from passes.infer_shapes.contents import Contents, contents_of
from passes.infer_shapes.elements import is_known
from passes.infer_shapes.targets import simplify_targets


class InferShapes(Pass):
    """Infer the shape of every value, and fold the shape arithmetic that shapes decide.

    What Shape, Gather, Concat, Mul and their kin compute is followed element by element, an element being a
    number or a symbol such as `N`. A tensor of numbers alone becomes a constant: Gather(Shape(x[N,3,8,8]), 1)
    is 3 for every N. The target of a Reshape or Expand becomes one where its symbols are dimensions that the
    operator keeps by itself: Reshape(x[N,3,8,8], [N, 192]) is Reshape(x, [0, 192]).

    A function's body is left alone: its shapes are those of each caller.
    """

    name: ClassVar[str] = "infer-shapes"

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Infer and fold until neither teaches the other anything."""
        changes = infer_shapes(model)
        while folded := _fold(model, ctx):
            changes += folded + infer_shapes(model)
        return changes


def _fold(model: ir.Model, ctx: Context) -> int:
    contents = contents_of(model)
    return _store_known(model, contents) + simplify_targets(model, contents, ctx)


def _store_known(model: ir.Model, contents: Contents) -> int:
    known = {value for value, elements in contents.items() if is_known(elements)}
    stored = [value for value in contents if value in known and _is_read_by_others(value, known)]
    names = Names(model)
    for value in stored:
        dtype = ir.DataType.INT64 if value.dtype is None else value.dtype
        constant = make_constant(
            value, tensor_of(np.array(contents[value].tolist(), dtype.numpy()).reshape(contents[value].shape))
        )
        value.name = names.fresh(f"{constant.name}_unread")  # its node stays where another output is read
    return erase_unread(stored)


def _is_read_by_others(value: ir.Value, known: set[ir.Value]) -> bool:
    """Whether the value is needed once all that is known is constant."""
    return value.is_graph_output() or any(not known.issuperset(reader.outputs) for reader, _ in value.uses())
