"""Choosing the shapes that native code is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.ir.dims import same_dim
from graphopt.ir.shapes import ShapeSpec, bind_shapes

DEFAULT_BATCH = 1


@dataclass(frozen=True)
class Specialization:
    """A model whose inputs all have fixed shapes, or the reason why there is none.

    Attributes:
        model: the specialized model.
        obstacle: the free dimension that nothing says how to fix, in words.

    """

    model: ir.Model | None
    obstacle: str = ""


def specialize(model: ir.Model, row: Mapping[str, ShapeSpec]) -> Specialization:
    """Bind the shapes of a row, then fix the leading dimension of each input, its batch, to 1 where it is free still.

    Any other free dimension is an obstacle. Code needs sizes: a batch has a natural default; a height has none,
    so the user is to say it.

    Raises:
        ModelError: the shapes do not fit the model.

    """
    specialized = model.clone()
    if row:
        bind_shapes(specialized, row)
    shapes: dict[str, list[int | str]] = {}
    for value in specialized.graph.inputs:
        if value.shape is None:
            return Specialization(None, f"input {value.name!r} has no shape; give one with shapes= or --input-shape")
        batch, *rest = [*value.shape] or [DEFAULT_BATCH]
        if free := [
            axis for axis, dim in enumerate(rest, start=1) if not isinstance(dim, int) and not same_dim(dim, batch)
        ]:
            return Specialization(
                None, f"dimension {free[0]} of input {value.name!r} is free; fix it with shapes= or --input-shape"
            )
        shapes[str(value.name)] = [dim if isinstance(dim, int) else DEFAULT_BATCH for dim in value.shape]
    bind_shapes(specialized, shapes)
    return Specialization(specialized)
