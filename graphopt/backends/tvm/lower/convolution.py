"""Conv (ONNX operator spec, Conv-11) with constant weights: direct convolution into blocks of lanes.

Two kernels, on any number of spatial axes s. With i lanes in the input (1 where it is plain: a first layer of
three channels is read as it is) and v in the output:

    dense      Y[n, o, s, v] = Σ_{c, k, i} X[n, first(o) + c·i, s·stride + k·dilation] · W[o, c, k, i, v]
    depthwise  Y[n, o, s, v] = Σ_k X[n, o, s·stride + k·dilation, v] · W[o, k, v]

Groups are a matter of first(o), see `grouping`. Where products take bfloat16 (`precision`), X is rounded and i counts
pairs: X[…, 2 i + j] · W[o, c, k, i, v, j], summed over j as well; see `narrow`. Where X is held as integers and W is
known in such (`integer_products`), i counts quads of them, and Y is held as their sums. The bias is an operator of its
own; fusion brings it and what follows into the kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from tvm import relax, te, tirx, topi

from graphopt.backends.tvm.bfloat16 import STORED, round_array
from graphopt.backends.tvm.kernels import Kernel, mark
from graphopt.backends.tvm.lower import importer
from graphopt.backends.tvm.lower.algorithm import winograd_of
from graphopt.backends.tvm.lower.depthwise_bytes import lower_depthwise_bytes
from graphopt.backends.tvm.lower.grouping import Grouping
from graphopt.backends.tvm.lower.integer_products import IntegerProducts, in_bytes, integer_products
from graphopt.backends.tvm.lower.known import known
from graphopt.backends.tvm.lower.layout import Layout, pack_array
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.precision import is_depthwise, multiplies_rounded
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.rounding import round_weights
from graphopt.backends.tvm.lower.types import dtype_of, literal, shape_of
from graphopt.backends.tvm.lower.window import Window, window_of
from graphopt.backends.tvm.lower.winograd import pack_weights, te_winograd_conv, transform_weights
from graphopt.backends.tvm.lower.winograd_cost import Winograd
from graphopt.backends.tvm.narrow import NARROW, group_depth
from graphopt.tensors import Array

SUMMED_AS_IS = frozenset({"float32", "float64"})
"""Dtypes in which products can be summed; float16 would lose digits in long sums."""


def lower_conv(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower a Conv; weights that are no constants, and other dtypes, go through the importer."""
    data, weights, *bias = node.inputs
    array = known(weights)
    if data is None or array is None or dtype_of(data) not in SUMMED_AS_IS:
        return importer.convert(lowering, node)
    window = window_of(node, shape_of(data)[2:], array.shape[2:])
    groups = node.attributes.get_int("group", 1)
    _check_operands(node, array, shape_of(data)[1], groups)
    output_shape = shape_of(node.outputs[0])
    if (products := integer_products(lowering, node, axis=0)) is not None:
        return [_integer_conv(lowering, node, products, window)]
    if is_depthwise(array, groups):
        layout = _blocked_layout(lowering, data)
        result = _depthwise(lowering, data, array, window, layout, output_shape)
    else:
        layout = lowering.result_layout(node.outputs[0])
        result = _dense(lowering, node, data, array, window, layout)
    if bias and bias[0] is not None:
        result = lowering.emit(relax.op.add(result, lowering.channels(bias[0], len(output_shape), layout)))
    return [Lowered(result, output_shape, layout)]


def _blocked_layout(lowering: Lowering, data: ir.Value) -> Layout:
    """Return the blocked layout that a value has already, or else the usual one."""
    layout = lowering.layout(data)
    return layout if layout.is_blocked else Layout(lowering.lanes)


def _check_operands(node: ir.Node, weights: Array, channels: int, groups: int) -> None:
    """Refuse operands that contradict each other, since no kernel looks whether it reads beyond their end."""
    outputs, inputs, *kernel = weights.shape
    if groups < 1 or outputs % groups or channels != inputs * groups:
        raise RefusalError(f"its weights {list(weights.shape)} in {groups} groups do not fit {channels} channels")
    if list(node.attributes.get_ints("kernel_shape", kernel)) != kernel:
        raise RefusalError("its kernel_shape is not that of its weights")
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and shape_of(bias) != (outputs,):
        raise RefusalError("its bias does not have one element an output channel")


def _dense(
    lowering: Lowering, node: ir.Node, data: ir.Value, weights: Array, window: Window, result: Layout
) -> relax.Expr:
    """Lower a convolution that is not depthwise; channels in slots are channels like others, some without weights."""
    way, groups = winograd_of(node, weights, lowering.target), node.attributes.get_int("group", 1)
    layout = _read_layout(lowering, node, data, weights.shape[1] * groups)
    output_shape = shape_of(node.outputs[0])
    if layout.slots:
        weights = layout.arrange(weights, 1)
    if result.slots:
        weights = result.arrange(weights, 0)
        output_shape = (output_shape[0], len(result.slots), *output_shape[2:])
    if way is not None:
        blocked = layout if layout.is_blocked else Layout(lowering.lanes)
        return _winograd(lowering, data, weights, way, window, blocked, output_shape)
    if layout.rounded:
        weights = round_weights(weights)
    inputs, together = weights.shape[1] * groups, NARROW[STORED].together if layout.rounded else 1
    grouping = Grouping(inputs, weights.shape[0], groups, lowering.lanes, max(layout.lanes, 1), together)
    packed = grouping.pack(weights)

    def compute(source: te.Tensor, factors: te.Tensor) -> te.Tensor:
        return te_conv(source, factors, layout, grouping, window, output_shape)

    name, factors = ("rounded_conv", group_depth(round_array(packed), together)) if layout.rounded else ("conv", packed)
    return lowering.kernel(name, compute, lowering.in_layout(data, layout), factors)


def _read_layout(lowering: Lowering, node: ir.Node, data: ir.Value, inputs: int) -> Layout:
    """Return how the input is read: few channels as they are, or where they are multiplied in pairs, as one block."""
    layout = lowering.layout(data) if inputs < lowering.lanes else _blocked_layout(lowering, data)
    if not multiplies_rounded(node, lowering.target):
        return layout
    return replace(layout, lanes=layout.lanes or _round_up(inputs, NARROW[STORED].together), rounded=True)


def _winograd(
    lowering: Lowering,
    data: ir.Value,
    weights: Array,
    way: Winograd,
    window: Window,
    layout: Layout,
    output_shape: tuple[int, ...],
) -> relax.Expr:
    def compute(source: te.Tensor, packed: te.Tensor) -> te.Tensor:
        return te_winograd_conv(source, packed, window, way.outputs, output_shape)

    lanes = lowering.lanes
    packed = pack_weights(weights, lanes) if way.late else transform_weights(weights, way.outputs, lanes)
    return lowering.kernel("winograd_conv", compute, lowering.in_layout(data, layout), packed)


def _depthwise(
    lowering: Lowering,
    data: ir.Value,
    weights: Array,
    window: Window,
    layout: Layout,
    output_shape: tuple[int, ...],
) -> relax.Expr:
    shape = layout.shape(output_shape)

    def compute(source: te.Tensor, taps: te.Tensor) -> te.Tensor:
        return te_depthwise_conv(source, taps, window, shape)

    taps = pack_taps(weights, layout)
    return lowering.kernel("depthwise_conv", compute, lowering.in_layout(data, layout), taps)


def _integer_conv(lowering: Lowering, node: ir.Node, products: IntegerProducts, window: Window) -> Lowered:
    """Lower a convolution of integers to what it sums up, and its bias where that is known in the same integers."""
    groups, output_shape = node.attributes.get_int("group", 1), shape_of(node.outputs[0])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    known_bias = products.bias(bias)
    others = tuple(range(1, products.weights.ndim))
    correction = (0 if known_bias is None else known_bias) - products.zero_point * products.weights.sum(others)
    depthwise = is_depthwise(products.weights, groups)
    if depthwise and known_bias is not None:
        made = lower_depthwise_bytes(lowering, node, products, window, correction)
        if made is not None:
            return made
    emit = _integer_depthwise if depthwise else _integer_dense
    sums = emit(lowering, products, window, groups, output_shape)
    addend = _per_channel(correction.astype(np.int32), len(output_shape), sums.layout)
    result = replace(sums, expr=lowering.emit(relax.op.add(sums.expr, addend)))
    if known_bias is not None or bias is None:
        return result
    real = lowering.real(result, "float32")
    addend = lowering.channels(bias, len(output_shape), real.layout)
    return replace(real, expr=lowering.emit(relax.op.add(real.expr, addend)))


def _per_channel(array: Array, rank: int, layout: Layout) -> relax.Expr:
    return literal(pack_array(array.reshape(1, -1, *(1,) * (rank - 2)), layout))


def _integer_dense(
    lowering: Lowering, products: IntegerProducts, window: Window, groups: int, output_shape: tuple[int, ...]
) -> Lowered:
    together, held = NARROW["int8"].together, products.data
    layout, weights, inputs = held.layout, products.weights, held.shape[1]
    if not layout.is_blocked:
        layout = Layout(_round_up(inputs, together) if inputs < lowering.lanes else lowering.lanes)
    if layout.slots:
        weights, inputs = layout.arrange(weights, 1), len(layout.slots)
    grouping = Grouping(inputs, weights.shape[0], groups, lowering.lanes, layout.lanes, together)

    def compute(source: te.Tensor, factors: te.Tensor) -> te.Tensor:
        return te_conv(source, factors, layout, grouping, window, output_shape, products.zero_point)

    source = lowering.arranged(held, layout)
    parts = [
        lowering.kernel("integer_conv", compute, source, group_depth(grouping.pack(part), together))
        for part in in_bytes(weights)
    ]
    sums = functools.reduce(lambda left, right: lowering.emit(relax.op.add(left, right)), parts)
    return Lowered(sums, output_shape, Layout(lowering.lanes), products.sums(axis=1))


def _integer_depthwise(
    lowering: Lowering, products: IntegerProducts, window: Window, _: int, output_shape: tuple[int, ...]
) -> Lowered:
    layout = products.data.layout if products.data.layout.is_blocked else Layout(lowering.lanes)
    narrow = len(list(in_bytes(products.weights))) == 1
    taps = pack_taps(products.weights.astype(np.int8 if narrow else np.int16), layout)
    shape = layout.shape(output_shape)

    def compute(source: te.Tensor, factors: te.Tensor) -> te.Tensor:
        return te_depthwise_conv(source, factors, window, shape, products.zero_point)

    sums = lowering.kernel("integer_depthwise_conv", compute, lowering.arranged(products.data, layout), taps)
    return Lowered(sums, output_shape, layout, products.sums(axis=1))


def pack_taps(weights: Array, layout: Layout) -> Array:
    """Bring the weights [C, 1, *K] of a depthwise convolution into [C / v, *K, v]."""
    packed = np.moveaxis(layout.arrange(weights[:, 0], 0).reshape(-1, layout.lanes, *weights.shape[2:]), 1, -1)
    return np.ascontiguousarray(packed)


def _round_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def te_conv(
    source: te.Tensor,
    packed: te.Tensor,
    layout: Layout,
    grouping: Grouping,
    window: Window,
    output_shape: tuple[int, ...],
    padding: int = 0,
) -> te.Tensor:
    """Describe the dense kernel; `source` is [N, C, *S] or [N, C / i, *S, i], `packed` as `Grouping.pack` makes it.

    Of narrow factors, `packed` has their neighbours grouped, [blocks, width / i, *K, i / 2, lanes, 2], or 4.
    """
    padded = pad_spatial(source, window, output_shape[2:], padding)
    narrow = NARROW.get(str(packed.dtype))
    blocks = te.reduce_axis((0, int(packed.shape[1])), "c")
    kernel = reduce_axes(window.kernel)
    lane = te.reduce_axis((0, int(packed.shape[2 + len(kernel)])), "i")
    inner = int(lane.dom.extent)

    def element(n: tirx.Var, o: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
        *position, v = rest
        at = places(position, kernel, window)
        if narrow is not None:
            together, widen = narrow.together, narrow.widen
            part = te.reduce_axis((0, together), "j")
            group = grouping.first(o) // together + blocks * inner + lane
            value = padded(n, group // inner, *at, group % inner * together + part)
            product = widen(value) * widen(packed(o, blocks, *kernel, lane, v, part))
            return te.sum(product, axis=[blocks, *kernel, lane, part])
        channel = grouping.first(o) + blocks * inner + lane
        value = padded(n, channel // inner, *at, channel % inner) if layout.is_blocked else padded(n, channel, *at)
        return te.sum(value * packed(o, blocks, *kernel, lane, v), axis=[blocks, *kernel, lane])

    shape = Layout(grouping.lanes).shape(output_shape)
    kind = Kernel.POINTWISE_CONV if window.is_pointwise and layout.lanes == grouping.lanes else Kernel.CONV
    return te.compute(shape, element, name="conv", attrs=mark(kind))


def te_depthwise_conv(
    source: te.Tensor, taps: te.Tensor, window: Window, shape: tuple[int, ...], padding: int = 0
) -> te.Tensor:
    """Describe the depthwise kernel on a blocked `source` and `taps` [C / v, *K, v]; `shape` is the stored result's.

    Products of integers are summed in int32.
    """
    padded = pad_spatial(source, window, shape[2:-1], padding)
    kernel = reduce_axes(window.kernel)
    dtype = "int32" if str(taps.dtype).startswith("int") else taps.dtype

    def element(n: tirx.Var, o: tirx.Var, *rest: tirx.Var) -> tirx.Expr:
        *position, v = rest
        at = places(position, kernel, window)
        return te.sum(padded(n, o, *at, v).astype(dtype) * taps(o, *kernel, v).astype(dtype), axis=kernel)

    return te.compute(shape, element, name="depthwise_conv", attrs=mark(Kernel.DEPTHWISE_CONV))


def reduce_axes(extents: Sequence[int]) -> list[tirx.IterVar]:
    """Return one reduction axis for each tap axis of a window."""
    return [te.reduce_axis((0, extent), f"k{axis}") for axis, extent in enumerate(extents)]


def places(position: Sequence[tirx.Var], kernel: Sequence[tirx.IterVar], window: Window) -> list[tirx.Expr]:
    """Return where in the padded input the taps of an output position lie."""
    return [
        place * stride + tap * dilation
        for place, stride, tap, dilation in zip(position, window.strides, kernel, window.dilations, strict=True)
    ]


def pad_spatial(source: te.Tensor, window: Window, outputs: Sequence[int], value: float) -> te.Tensor:
    """Pad the spatial axes of [N, C, *S] or [N, C, *S, lanes] so that every window of the output lies inside."""
    rank = len(window.kernel)
    inputs = tuple(int(extent) for extent in source.shape[2 : 2 + rank])
    ends = window.padding_for(inputs, tuple(outputs))
    if not any(window.begins) and not any(ends):
        return source
    trailing = [0] * (len(source.shape) - 2 - rank)
    fill = tirx.const(value, source.dtype)
    return topi.nn.pad(source, [0, 0, *window.begins, *trailing], [0, 0, *ends, *trailing], fill, name="pad")
