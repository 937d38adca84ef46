"""Concat and Split: kernels that the planning of memory can leave out, where they cut memory into whole pieces."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import onnx_ir as ir
from tvm import relax, topi

from graphopt.backends.tvm.kernels import SPLIT
from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.layout import PLAIN, Layout, cuts_memory
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.ir.constants import constant


def lower_concat(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Concat; along the channels, blocked where every part but the last fills its blocks."""
    inputs = [value for value in node.inputs if value is not None]
    shape = shape_of(node.outputs[0])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    layouts = {lowering.layout(value) for value in inputs}
    layout = next((layout for layout in layouts if layout.is_blocked), PLAIN)
    if axis == 1 and layout.slots:
        layout = Layout(lowering.lanes)
    if axis == 1 and not _fill_blocks(lowering.lanes, [shape_of(value)[1] for value in inputs]):
        layout = PLAIN
    if axis == 0 and layout.is_blocked:
        layout = PLAIN
    parts = [lowering.in_layout(value, layout) for value in inputs]
    if len(parts) == 1:
        return [Lowered(parts[0], shape, layout)]
    return [Lowered(lowering.join(parts, axis), shape, layout)]


def lower_split(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower Split; along the channels, blocked where every piece but the last fills its blocks."""
    data, *sizes = node.inputs
    if data is None:
        raise RefusalError("it has no input")
    if any(value is not None and constant(value) is None for value in sizes) or len(node.outputs) == 1:
        return importer.convert(lowering, node)
    axis = node.attributes.get_int("axis", 0) % len(shape_of(data))
    extents = [shape_of(value)[axis] for value in node.outputs]
    layout = lowering.layout(data)
    if axis == 1 and layout.slots:
        layout = Layout(lowering.lanes)
    if layout.is_blocked and axis == 1 and not _fill_blocks(lowering.lanes, extents):
        layout = PLAIN
    shapes = [layout.shape(shape_of(value)) for value in node.outputs]
    if sum(extents) != shape_of(data)[axis] or not cuts_memory(shapes, axis, dtype_of(data)):
        return importer.convert(lowering, node)
    pieces = lowering.builder.emit_te(
        topi.split,
        lowering.store(lowering.in_layout(data, layout)),
        list(itertools.accumulate(shape[axis] for shape in shapes[:-1])),
        axis,
        primfunc_name_hint="split",
        primfunc_attrs={SPLIT: 1},
    )
    fields = [lowering.store(lowering.emit(relax.TupleGetItem(pieces, index))) for index in range(len(shapes))]
    return [Lowered(field, shape_of(value), layout) for field, value in zip(fields, node.outputs, strict=True)]


def _fill_blocks(lanes: int, channels: Sequence[int]) -> bool:
    """Whether channels of parts that follow each other fill whole blocks, but for the last."""
    return not any(count % lanes for count in channels[:-1])
