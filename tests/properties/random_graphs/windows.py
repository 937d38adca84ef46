"""Operators on images: convolutions, pools, resizing, and the normalizations that fold into them."""

from __future__ import annotations

import math

import numpy as np

from tests.properties.random_graphs.graph import Graph, UnfitError, Value, replaced

Made = list[Value]


def convolution(graph: Graph) -> Made:
    return [convolved(graph, graph.image())]


def convolved(graph: Graph, x: Value, *, pads: list[int] | None = None) -> Value:
    """Convolve with any group, kernel, stride, dilation and padding."""
    batch, channels, *sides = x.shape
    group = graph.choose(1, math.gcd(channels, 2), channels)
    out = group * graph.choose(1, 2, 3)
    if out > 12:
        raise UnfitError
    kernel = [graph.choose(*range(1, min(side, 3) + 1)) for side in sides]
    auto = graph.choose("", "", "", "SAME_UPPER", "SAME_LOWER", "VALID") if pads is None else ""
    dilations = [
        graph.choose(1, 1, 2) if (size - 1) * 2 < side and not auto else 1
        for size, side in zip(kernel, sides, strict=True)
    ]
    strides = [graph.choose(1, 1, 2) for _ in sides]
    attributes, shape = _geometry(graph, sides, kernel, dilations, strides, auto, pads)
    weight = graph.weight(out, channels // group, *kernel, dtype=x.dtype)
    bias = [graph.weight(out, dtype=x.dtype)] if graph.chance(2) else []
    made = (batch, out, *shape)
    size = x.magnitude * 2 + 1
    return graph.op(
        "Conv", x, weight, *bias, shape=made, magnitude=size, group=group, dilations=dilations, **attributes
    )


def _geometry(
    graph: Graph,
    sides: list[int],
    kernel: list[int],
    dilations: list[int],
    strides: list[int],
    auto: str,
    pads: list[int] | None,
) -> tuple[dict[str, object], list[int]]:
    """Return the attributes of a window and the sides that it makes."""
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    attributes: dict[str, object] = {"strides": strides}
    if auto.startswith("SAME"):
        shape = [-(-side // stride) for side, stride in zip(sides, strides, strict=True)]
        return attributes | {"auto_pad": auto}, shape
    if auto == "VALID":
        attributes["auto_pad"] = auto
        around = [0] * 4
    else:
        around = [graph.choose(0, 0, 1) for _ in range(4)] if pads is None else pads
        attributes["pads"] = around
    padded = [side + around[axis] + around[axis + 2] for axis, side in enumerate(sides)]
    return attributes, [(size - extents[axis]) // strides[axis] + 1 for axis, size in enumerate(padded)]


def sequence_convolution(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) == 3 and min(value.shape) > 0, ["float32"])
    batch, channels, length = x.shape
    out, kernel, pad = graph.choose(1, 2, 4), graph.choose(*range(1, min(3, length) + 1)), graph.choose(0, 1)
    weight = graph.weight(out, channels, kernel)
    made = (batch, out, length + 2 * pad - kernel + 1)
    return [graph.op("Conv", x, weight, shape=made, magnitude=2 * x.magnitude + 1, pads=[pad, pad])]


def transposed_convolution(graph: Graph) -> Made:
    return [transposed_convolved(graph, graph.image())]


def transposed_convolved(graph: Graph, x: Value) -> Value:
    """Convolve the other way, with any group, stride, padding and padding of the output."""
    batch, channels, *sides = x.shape
    group = graph.choose(1, math.gcd(channels, 2))
    kernel, out = graph.choose(1, 2, 3), graph.choose(1, 2)
    strides = [graph.choose(1, 2) for _ in sides]
    extra = [graph.choose(0, stride - 1) for stride in strides]
    pad = graph.choose(0, 0, (kernel - 1) // 2)
    shape = [(side - 1) * strides[axis] + kernel - 2 * pad + extra[axis] for axis, side in enumerate(sides)]
    if max(shape) > 16 or min(shape) < 1:
        raise UnfitError
    bias = [graph.weight(out * group, dtype=x.dtype)] if graph.chance(2) else []
    weight = graph.weight(channels, out, kernel, kernel, dtype=x.dtype)
    attributes = {"strides": strides, "pads": [pad] * 4, "group": group, "output_padding": extra}
    made = (batch, out * group, *shape)
    return graph.op("ConvTranspose", x, weight, *bias, shape=made, magnitude=2 * x.magnitude + 1, **attributes)


def batch_normalization(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 2 and value.magnitude < 100, ("float32", "float16"))
    return [normalized(graph, x)]


def normalized(graph: Graph, x: Value) -> Value:
    """Normalize a value of at least two axes over the batch, with the statistics of training."""
    channels, dtype = x.shape[1], x.dtype
    statistics = [graph.weight(channels, dtype=dtype) for _ in range(3)]
    variance = graph.weight(channels, dtype=dtype, positive=True)
    epsilon = graph.choose(1e-5, 1e-3)
    return graph.op(
        "BatchNormalization", x, *statistics, variance, shape=x.shape, magnitude=2 * x.magnitude + 1, epsilon=epsilon
    )


def instance_normalization(graph: Graph) -> Made:
    x = graph.image(side=2)
    channels = x.shape[1]
    if x.dtype != "float32":
        raise UnfitError
    return [
        graph.op(
            "InstanceNormalization", x, graph.weight(channels), graph.weight(channels), shape=x.shape, magnitude=4.0
        )
    ]


def pool(graph: Graph) -> Made:
    """Pool with any kernel and padding; sides that are rounded up, and pads that count or do not."""
    x = graph.image(side=2)
    batch, channels, *sides = x.shape
    kernel = [graph.choose(*range(1, min(3, side) + 1)) for side in sides]
    strides = [graph.choose(1, 2, 3) for _ in sides]
    pads = [graph.choose(0, 0, 1) if kernel[axis % 2] > 1 else 0 for axis in range(4)]
    ceil = graph.choose(0, 0, 1)
    shape = [
        pooled_side(side, kernel[axis], strides[axis], pads[axis], pads[axis + 2], ceil=bool(ceil))
        for axis, side in enumerate(sides)
    ]
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": ceil}
    made = (batch, channels, *shape)
    operator = graph.choose("MaxPool", "AveragePool")
    if operator == "AveragePool":
        return [graph.op(operator, x, shape=made, count_include_pad=graph.choose(0, 1), **attributes)]
    return [graph.op(operator, x, shape=made, exact=x.exact, **attributes)]


def pooled_side(side: int, kernel: int, stride: int, before: int, after: int, *, ceil: bool) -> int:
    """Return the side that a pool makes; raises UnfitError where a last window would begin behind the image.

    Such a window is left out, by every kernel of onnxruntime 1.31 but not by its shape inference before opset 22,
    so that models whose shapes are known do not load, or find a buffer too small.
    """
    room = side + before + after - kernel
    size = -(-room // stride) + 1 if ceil else room // stride + 1
    if (size - 1) * stride >= side + before:
        raise UnfitError
    return size


def global_pool(graph: Graph) -> Made:
    x = graph.image()
    return [graph.op(graph.choose("GlobalAveragePool", "GlobalMaxPool"), x, shape=(*x.shape[:2], 1, 1))]


def local_normalization(graph: Graph) -> Made:
    x = graph.image()
    if x.dtype != "float32":
        raise UnfitError
    return [graph.op("LRN", x, shape=x.shape, size=3, alpha=0.01)]


def resize(graph: Graph) -> Made:
    """Resize by scales or to sizes, as old and new opsets and exporters do."""
    x = graph.image()
    factors = [graph.choose(1, 2, 1) for _ in range(2)]
    shape = (*x.shape[:2], *(side * factor for side, factor in zip(x.shape[2:], factors, strict=True)))
    if max(shape) > 20 or x.dtype != "float32":
        raise UnfitError
    scales = graph.constant(np.array([1, 1, *factors], np.float32))
    mode = graph.choose("nearest", "linear")
    transform = graph.choose("asymmetric", "half_pixel") if mode == "linear" else "asymmetric"
    region = graph.empty()
    attributes = {"mode": mode, "coordinate_transformation_mode": transform, "nearest_mode": "floor"}
    return [graph.op("Resize", x, region, scales, shape=shape, **attributes)]


def blocks(graph: Graph) -> Made:
    x = graph.image(side=2)
    batch, channels, height, width = x.shape
    if channels % 4 == 0 and graph.chance(2):
        mode = {"mode": graph.choose("DCR", "CRD")}
        shape = (batch, channels // 4, 2 * height, 2 * width)
        return [graph.op("DepthToSpace", x, shape=shape, blocksize=2, exact=x.exact, **mode)]
    if height % 2 or width % 2 or x.dtype != "float32":
        raise UnfitError
    return [
        graph.op("SpaceToDepth", x, shape=(batch, 4 * channels, height // 2, width // 2), blocksize=2, exact=x.exact)
    ]


def padded_window(graph: Graph) -> Made:
    """Pad before a window, with a value that may or may not be neutral to it."""
    x = graph.image(side=2)
    around = [graph.choose(0, 1, 2) for _ in range(4)]
    filler = [graph.constant(np.array(graph.choose(0, 0, -1e4, 1), x.dtype))] if graph.chance(2) else []
    if x.dtype != "float32":
        raise UnfitError
    shape = (*x.shape[:2], *(side + around[axis] + around[axis + 2] for axis, side in enumerate(x.shape[2:])))
    pads = graph.integers(0, 0, *around[:2], 0, 0, *around[2:])
    padded = graph.op("Pad", x, pads, *filler, shape=shape, exact=x.exact)
    if filler and abs(padded.magnitude) > 100:
        raise UnfitError
    if graph.chance(2):
        return [convolved(graph, padded, pads=[graph.choose(0, 1)] * 4)]
    made = replaced(replaced(shape, 2, shape[2] - 1), 3, shape[3] - 1)
    return [graph.op(graph.choose("AveragePool", "MaxPool"), padded, shape=made, kernel_shape=[2, 2])]


WINDOWS = (
    *[convolution] * 5,
    *[batch_normalization] * 3,
    *[pool] * 2,
    sequence_convolution,
    transposed_convolution,
    instance_normalization,
    global_pool,
    local_normalization,
    resize,
    blocks,
    padded_window,
)
