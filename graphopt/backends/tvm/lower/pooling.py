"""MaxPool, AveragePool, GlobalAveragePool and ReduceMean over space (ONNX operator spec) on blocked values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from tvm import relax, te, tirx

from graphopt.backends.tvm.kernels import Kernel, mark
from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.affine import BYTES, Affine
from graphopt.backends.tvm.lower.convolution import pad_spatial, places, reduce_axes
from graphopt.backends.tvm.lower.layout import Layout
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.backends.tvm.lower.window import Window, window_of
from graphopt.ir.constants import constant

_SUMMED_AT_ONCE = 256
"""Positions that are averaged in one sum."""


def lower_max_pool(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower a MaxPool whose second output, the indices, is not asked for."""
    if len(node.outputs) > 1:
        raise RefusalError("its second output, the indices, is used")
    (data,) = node.inputs
    if data is None or node.attributes.get_int("storage_order", 0) != 0:
        raise RefusalError("its indices are in column-major order")
    shape, output_shape = shape_of(data), shape_of(node.outputs[0])
    lowest = _lowest(dtype_of(data))
    window = window_of(node, shape[2:], tuple(node.attributes.get_ints("kernel_shape", [])))

    def compute(source: te.Tensor) -> te.Tensor:
        padded = pad_spatial(source, window, output_shape[2:], lowest)
        kernel = reduce_axes(window.kernel)

        def element(n: tirx.Var, c: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
            *position, lane = rest
            return te.max(padded(n, c, *places(position, kernel, window), lane), axis=kernel)

        blocked = Layout(lowering.lanes).shape(output_shape)
        return te.compute(blocked, element, name="max_pool", attrs=mark(Kernel.POOL))

    result = lowering.kernel("max_pool", compute, lowering.blocked(data))
    return [Lowered(result, output_shape, Layout(lowering.lanes))]


def lower_average_pool(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower an AveragePool; the divisor of windows at the border follows `count_include_pad`."""
    (data,) = node.inputs
    if data is None or dtype_of(data) == "float16":
        raise RefusalError("a sum of float16 would lose digits")
    shape, output_shape = shape_of(data), shape_of(node.outputs[0])
    window = window_of(node, shape[2:], tuple(node.attributes.get_ints("kernel_shape", [])))
    counts_padding = node.attributes.get_int("count_include_pad", 0) != 0
    reached = zip(window.padding_for(shape[2:], output_shape[2:]), window.ends, strict=True)
    is_same_count = (counts_padding or not window.is_padded) and all(end <= declared for end, declared in reached)
    if is_same_count and (integers := _pool_of_integers(lowering, data, window, output_shape)) is not None:
        return [integers]

    def compute(source: te.Tensor) -> te.Tensor:
        padded = pad_spatial(source, window, output_shape[2:], 0.0)
        kernel = reduce_axes(window.kernel)
        blocked = Layout(lowering.lanes).shape(output_shape)

        def total(n: tirx.Var, c: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
            *position, lane = rest
            return te.sum(padded(n, c, *places(position, kernel, window), lane), axis=kernel)

        sums = te.compute(blocked, total, name="pool_sum", attrs=mark(Kernel.POOL))

        def mean(n: tirx.Var, c: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
            count = _cells(rest[:-1], window, shape[2:], counts_padding=counts_padding)
            return sums(n, c, *rest) / count.astype(source.dtype)

        return te.compute(blocked, mean, name="average_pool")

    result = lowering.kernel("average_pool", compute, lowering.blocked(data))
    return [Lowered(result, output_shape, Layout(lowering.lanes))]


def _pool_of_integers(
    lowering: Lowering, data: ir.Value, window: Window, output_shape: tuple[int, ...]
) -> Lowered | None:
    """Sum up integers that a value is held as, whose sums have a scale for the mean; None where there are none."""
    held = lowering.held(data)
    if held is None or held.affine is None or not held.affine.is_plain or held.dtype not in BYTES:
        return None
    layout, affine = held.layout if held.layout.is_blocked else Layout(lowering.lanes), held.affine
    blocked = layout.shape(output_shape)

    def compute(source: te.Tensor) -> te.Tensor:
        padded = pad_spatial(source, window, output_shape[2:], affine.zero_point)
        kernel = reduce_axes(window.kernel)

        def total(n: tirx.Var, c: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
            *position, lane = rest
            return te.sum(padded(n, c, *places(position, kernel, window), lane).astype("int32"), axis=kernel)

        return te.compute(blocked, total, name="pool_sum", attrs=mark(Kernel.POOL))

    sums = lowering.kernel("integer_pool", compute, lowering.arranged(held, layout))
    count = math.prod(window.kernel)
    mean = Affine(np.divide(affine.scale, np.float32(count)), affine.zero_point * count)
    return Lowered(sums, output_shape, layout, mean)


def lower_global_average_pool(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower a GlobalAveragePool as a mean over the spatial axes, which blocking leaves in place."""
    (data,) = node.inputs
    if data is None or dtype_of(data) == "float16":
        raise RefusalError("a sum of float16 would lose digits")
    return [_spatial_mean(lowering, data, shape_of(node.outputs[0]))]


def lower_reduce_mean(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower a ReduceMean over just the spatial axes like a GlobalAveragePool, any other through the importer."""
    data, *axes = node.inputs
    if data is None or dtype_of(data) not in {"float32", "float64"} or node.attributes.get_int("keepdims", 1) != 1:
        return importer.convert(lowering, node)
    known = constant(axes[0]) if axes else None
    listed = node.attributes.get_ints("axes", []) if known is None else known.reshape(-1).tolist()
    rank = len(shape_of(data))
    if rank < 3 or {axis % rank for axis in listed} != set(range(2, rank)):
        return importer.convert(lowering, node)
    return [_spatial_mean(lowering, data, shape_of(node.outputs[0]))]


def _whole(spatial: tuple[int, ...]) -> Window:
    """Return the one window over all positions."""
    ones, zeros = (1,) * len(spatial), (0,) * len(spatial)
    return Window(spatial, ones, ones, zeros, zeros)


def _spatial_mean(lowering: Lowering, data: ir.Value, output_shape: tuple[int, ...]) -> Lowered:
    """Average over all positions: at once where they are few, else axis by axis, which rounds far less."""
    spatial = shape_of(data)[2:]
    if (integers := _pool_of_integers(lowering, data, _whole(spatial), output_shape)) is not None:
        return integers
    axes = [*range(2, 2 + len(spatial))]
    result = lowering.blocked(data)
    for step in [axes] if math.prod(spatial) <= _SUMMED_AT_ONCE else [[axis] for axis in reversed(axes)]:
        result = lowering.emit(relax.op.mean(result, step, keepdims=True))
    return Lowered(result, output_shape, Layout(lowering.lanes))


def _lowest(dtype: str) -> float:
    kind = np.dtype(dtype)
    return float(np.finfo(kind).min) if kind.kind == "f" else int(np.iinfo(kind).min)


def _cells(position: Sequence[tirx.Var], window: Window, inputs: Sequence[int], *, counts_padding: bool) -> tirx.Expr:
    """Count the cells of a window that belong to the mean: inside the input, or inside the declared padding."""
    count: tirx.Expr = tirx.const(1, "int32")
    for axis, place in enumerate(position):
        begin, end = window.begins[axis], window.ends[axis]
        low, high = (0, inputs[axis] + begin + end) if counts_padding else (begin, inputs[axis] + begin)
        dilation, taps = window.dilations[axis], window.kernel[axis]
        start = place * window.strides[axis]
        before = tirx.max(0, (low - start + dilation - 1) // dilation)
        until = tirx.min(taps, (high - start + dilation - 1) // dilation)
        count = count * (until - before)
    return count
