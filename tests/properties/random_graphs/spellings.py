"""What exporters write of one operator: the patterns that rules look for, whole and with one thing changed."""

from __future__ import annotations

import math

import numpy as np

from tests.properties.random_graphs.graph import Graph, UnfitError, Value
from tests.properties.random_graphs.movement import dimension, transposed
from tests.properties.random_graphs.products import AXES_ARE_INPUT, SUM_AXES_ARE_INPUT, multiplied
from tests.properties.random_graphs.windows import convolved, normalized, transposed_convolved

Made = list[Value]


def _real(graph: Graph, size: float = 50) -> Value:
    return graph.value(lambda value: value.magnitude < size and 0 not in value.shape, ["float32"])


def _times(graph: Graph, x: Value, factor: float) -> Value:
    if graph.chance(3):
        return graph.op("Div", x, graph.number(x, 1 / factor), magnitude=x.magnitude * factor + 1)
    pair = [x, graph.number(x, factor)]
    return graph.op("Mul", *(pair if graph.chance(2) else pair[::-1]), magnitude=x.magnitude * factor + 1)


def _plus(graph: Graph, x: Value, shift: float) -> Value:
    pair = [x, graph.number(x, shift)]
    return graph.op("Add", *(pair if graph.chance(2) else pair[::-1]), magnitude=x.magnitude + abs(shift))


def hard(graph: Graph) -> Made:
    """HardSigmoid and HardSwish, by sixths or by units, with Clip or with Relu6's Min and Max."""
    x = _real(graph)
    shifted = _plus(graph, x, graph.choose(3.0, 3.0, 2.0))
    zero, six = graph.number(x._replace(shape=()), 0.0), graph.number(x._replace(shape=()), 6.0)
    if graph.chance(2):
        bounded = graph.op("Clip", shifted, zero, six, shape=x.shape, magnitude=6.0)
    else:
        bounded = graph.op("Min", graph.op("Relu", shifted, magnitude=6.0), six, magnitude=6.0)
    if graph.chance(3):
        return [_times(graph, bounded, 1 / 6)]
    if graph.chance(2):
        return [_times(graph, graph.op("Mul", x, bounded, magnitude=6 * x.magnitude), 1 / 6)]
    return [graph.op("Mul", x, _times(graph, bounded, 1 / 6), magnitude=x.magnitude + 1)]


def smooth(graph: Graph) -> Made:
    """Sigmoid, SiLU, Softplus, Softsign, Mish and both kinds of Gelu."""
    x = _real(graph, 10)
    kind = graph.choose("sigmoid", "silu", "softplus", "softsign", "mish", "gelu", "tanh")
    if kind in {"sigmoid", "silu"}:
        below = _plus(graph, graph.op("Exp", graph.op("Neg", x), magnitude=20.0), 1.0)
        above = x if kind == "silu" else graph.number(x, 1.0)
        return [graph.op("Div", above, below, magnitude=x.magnitude + 1)]
    if kind == "softplus":
        return [graph.op("Log", _plus(graph, graph.op("Exp", x, magnitude=20.0), 1.0), magnitude=x.magnitude + 1)]
    if kind == "softsign":
        return [graph.op("Div", x, _plus(graph, graph.op("Abs", x), 1.0), magnitude=1.0)]
    if kind == "mish":
        return [graph.op("Mul", x, graph.op("Tanh", graph.op("Softplus", x), magnitude=1.0), magnitude=x.magnitude)]
    if kind == "gelu":
        inner = graph.op("Erf", _times(graph, x, math.sqrt(0.5)), magnitude=1.0)
    else:
        cube = graph.op("Mul", x, graph.op("Mul", x, x, magnitude=x.magnitude**2), magnitude=x.magnitude**2)
        total = graph.op("Add", x, _times(graph, cube, 0.044715), magnitude=x.magnitude**2)
        inner = graph.op("Tanh", _times(graph, total, math.sqrt(2 / math.pi)), magnitude=1.0)
    factor = _plus(graph, inner, 1.0)
    if graph.chance(2):
        return [graph.op("Mul", _times(graph, x, 0.5), factor, magnitude=x.magnitude + 1)]
    return [_times(graph, graph.op("Mul", x, factor, magnitude=2 * x.magnitude), 0.5)]


def leaky(graph: Graph) -> Made:
    x = _real(graph)
    below = graph.op("Min", x, graph.number(x._replace(shape=()), 0.0))
    return [graph.op("Add", graph.op("Relu", x), _times(graph, below, 0.1), magnitude=2 * x.magnitude)]


def layer(graph: Graph) -> Made:
    """LayerNormalization or RMSNormalization, taken apart."""
    x = graph.value(lambda value: len(value.shape) >= 2 and 0 not in value.shape and value.magnitude < 20, ["float32"])
    axes = [-1] if x.shape[-1] > 1 or graph.chance(4) else [len(x.shape) - 2, len(x.shape) - 1]
    if x.shape[-1] == 1:
        raise UnfitError
    shape = (*x.shape[:-1], 1)
    centred = x
    if graph.chance(3):
        mean = graph.over_axes("ReduceMean", x, axes, AXES_ARE_INPUT, shape=shape)
        centred = graph.op("Sub", x, mean, magnitude=2 * x.magnitude)
    if graph.chance(2):
        square = graph.op("Pow", centred, graph.number(x, 2.0), magnitude=centred.magnitude**2)
    else:
        square = graph.op("Mul", centred, centred, magnitude=centred.magnitude**2)
    variance = graph.over_axes("ReduceMean", square, axes, AXES_ARE_INPUT, shape=shape, magnitude=square.magnitude)
    root = graph.op("Sqrt", _plus(graph, variance, 1e-5))
    made = graph.op("Div", centred, root, magnitude=5.0)
    if graph.chance(2):
        made = graph.op("Mul", made, graph.weight(x.shape[-1]), magnitude=5.0)
        made = graph.op("Add", made, graph.weight(x.shape[-1])) if graph.chance(2) else made
    return [made]


def soft(graph: Graph) -> Made:
    """Softmax and LogSoftmax over the last axis, taken apart, with the maximum subtracted or not."""
    x = graph.value(lambda value: len(value.shape) >= 2 and 0 not in value.shape and value.magnitude < 5, ["float32"])
    shape = (*x.shape[:-1], 1)
    z = x
    if graph.chance(2):
        z = graph.op("Sub", x, graph.over_axes("ReduceMax", x, [-1], AXES_ARE_INPUT, shape=shape), magnitude=9.0)
    powers = graph.op("Exp", z, magnitude=40.0)
    total = graph.over_axes("ReduceSum", powers, [-1], SUM_AXES_ARE_INPUT, shape=shape, magnitude=200.0)
    if graph.chance(3):
        return [graph.op("Sub", z, graph.op("Log", total, magnitude=6.0), magnitude=12.0)]
    return [graph.op("Div", powers, total, magnitude=1.0)]


def rectifier(graph: Graph) -> Made:
    """LeakyRelu, PRelu, Elu and Selu as a choice by sign, and LeakyRelu as a maximum."""
    x = _real(graph)
    zero = graph.number(x._replace(shape=()), 0.0)
    kind = graph.choose("leaky", "parametric", "elu", "selu", "maximum")
    if kind == "maximum":
        return [graph.op("Max", x, _times(graph, x, 0.1))]
    if kind in {"elu", "selu"}:
        bounded = graph.op("Min", x, zero) if graph.chance(3) else x
        if bounded.magnitude > 10:
            raise UnfitError
        power = graph.op("Exp", bounded, magnitude=30.0)
        below = _times(graph, graph.op("Sub", power, graph.number(x, 1.0)), 1.6732632 if kind == "selu" else 0.7)
    elif kind == "parametric":
        below = graph.op("Mul", x, graph.weight(x.shape[-1] if x.shape else 1), shape=x.shape or (1,))
    else:
        below = _times(graph, x, 0.1)
    if graph.chance(2):
        made = graph.op("Where", graph.op("Less", x, zero, dtype="bool"), below, x, dtype="float32")
    else:
        made = graph.op("Where", graph.op("Greater", x, zero, dtype="bool"), x, below, dtype="float32")
    return [_times(graph, made, 1.050701) if kind == "selu" else made]


def sums_of_powers(graph: Graph) -> Made:
    """ReduceSumSquare, ReduceL1, ReduceL2 and ReduceLogSumExp, taken apart."""
    x = graph.value(lambda value: len(value.shape) >= 2 and 0 not in value.shape and value.magnitude < 6, ["float32"])
    kind, shape = graph.choose("squares", "norm", "magnitudes", "powers"), (*x.shape[:-1], 1)
    inner = {
        "magnitudes": lambda: graph.op("Abs", x),
        "powers": lambda: graph.op("Exp", x, magnitude=40.0),
    }.get(kind, lambda: graph.op("Mul", x, x, magnitude=x.magnitude**2))()
    made = graph.over_axes("ReduceSum", inner, [-1], SUM_AXES_ARE_INPUT, shape=shape, magnitude=9 * inner.magnitude)
    outer = {"norm": "Sqrt", "powers": "Log"}.get(kind)
    return [graph.op(outer, made) if outer else made]


def blocks(graph: Graph) -> Made:
    """DepthToSpace in both modes and SpaceToDepth, as Reshape, Transpose and Reshape."""
    x = graph.value(lambda value: len(value.shape) == 4 and 0 not in value.shape, ["float32"])
    batch, channels, height, width = x.shape
    if channels % 4 == 0:
        deep, result = channels // 4, (batch, channels // 4, 2 * height, 2 * width)
        views = [((2, 2, deep, height, width), [0, 3, 4, 1, 5, 2]), ((deep, 2, 2, height, width), [0, 1, 4, 2, 5, 3])]
        view, order = graph.choose(*views)
    elif height % 2 == 0 and width % 2 == 0:
        view, order = (channels, height // 2, 2, width // 2, 2), [0, 3, 5, 1, 2, 4]
        result = (batch, 4 * channels, height // 2, width // 2)
    else:
        raise UnfitError
    kept = {"magnitude": x.magnitude, "exact": x.exact}
    seen = graph.op("Reshape", x, graph.integers(0, *view), shape=(batch, *view), **kept)
    turned = graph.op("Transpose", seen, shape=tuple(seen.shape[axis] for axis in order), perm=order, **kept)
    return [graph.op("Reshape", turned, graph.integers(-1, *result[1:]), shape=result, **kept)]


def groups(graph: Graph) -> Made:
    """GroupNormalization: an InstanceNormalization of groups of channels, then scale and shift."""
    x = graph.value(lambda v: len(v.shape) == 4 and 0 not in v.shape and v.shape[1] % 2 == 0, ["float32"])
    batch, channels, height, width = x.shape
    flat = (batch, 2, channels // 2 * height * width)
    seen = graph.op("Reshape", x, graph.integers(0, 2, -1), shape=flat, magnitude=x.magnitude)
    ones, zeros = (graph.constant(np.full(2, number, np.float32)) for number in (1, 0))
    made = graph.op("InstanceNormalization", seen, ones, zeros, shape=flat, magnitude=4.0)
    back = graph.integers(0, channels, height, width)
    made = graph.op("Reshape", made, back, shape=x.shape, magnitude=4.0)
    made = graph.op("Mul", made, graph.weight(channels, 1, 1, positive=True), magnitude=6.0)
    return [graph.op("Add", made, graph.weight(channels, 1, 1))]


def padded_twice(graph: Graph) -> Made:
    """Pad with zeros, and again, before a pool or a convolution."""
    made = graph.value(lambda v: len(v.shape) == 4 and 0 not in v.shape and v.magnitude < 50, ["float32"])
    for _ in range(2):
        below, right = graph.choose(0, 1), graph.choose(1, 0)
        shape = (*made.shape[:2], made.shape[2] + below, made.shape[3] + right)
        pads = graph.integers(0, 0, 0, 0, 0, 0, below, right)
        made = graph.op("Pad", made, pads, shape=shape, magnitude=made.magnitude)
    return [convolved(graph, made, pads=[0] * 4)]


def tail(graph: Graph) -> Made:
    """A convolution or a product with the scales, shifts and normalizations that follow it."""
    if graph.chance(3):
        made = multiplied(graph, graph.value(lambda v: len(v.shape) == 2 and 0 not in v.shape and v.magnitude < 30))
    else:
        made = convolved(
            graph, graph.value(lambda v: len(v.shape) == 4 and 0 not in v.shape and v.magnitude < 30, ["float32"])
        )
    for _ in range(graph.choose(1, 2, 3)):
        kind = graph.choose("normalize", "mul", "add", "relu")
        per_channel = (made.shape[1],) + (1,) * (len(made.shape) - 2)
        if kind == "normalize":
            made = normalized(graph, made)
        elif kind == "relu":
            made = graph.op("Relu", made)
        else:
            shape = graph.choose(per_channel, (), (1,))
            constant = graph.weight(*shape, dtype=made.dtype, positive=kind == "mul")
            made = graph.op(kind.capitalize(), made, constant, magnitude=made.magnitude * 2)
    return [made]


def head(graph: Graph) -> Made:
    """A normalization or a scale and shift before a convolution, which pads or does not."""
    x = graph.value(lambda v: len(v.shape) == 4 and 0 not in v.shape and v.magnitude < 30, ["float32"])
    if graph.chance(2):
        made = normalized(graph, x)
    else:
        scale = graph.weight(x.shape[1], 1, 1, positive=True)
        made = graph.op("Add", graph.op("Mul", x, scale, magnitude=2 * x.magnitude), graph.weight(x.shape[1], 1, 1))
    if graph.chance(5):
        return [transposed_convolved(graph, made)]
    return [convolved(graph, made, pads=graph.choose([0] * 4, [1] * 4))]


def residual(graph: Graph) -> Made:
    """Two pointwise convolutions with a Relu, and what went in added to what comes out."""
    x = graph.value(lambda v: len(v.shape) == 4 and 0 not in v.shape and v.magnitude < 30, ["float32"])
    channels = x.shape[1]
    first = graph.op(
        "Conv", x, graph.weight(3, channels, 1, 1), shape=(x.shape[0], 3, *x.shape[2:]), magnitude=2 * x.magnitude
    )
    inner = graph.op("Relu", normalized(graph, first)) if graph.chance(2) else first
    second = graph.op("Conv", inner, graph.weight(channels, 3, 1, 1), shape=x.shape, magnitude=2 * inner.magnitude)
    return [graph.op("Add", x, second, magnitude=x.magnitude + second.magnitude)]


def shuffle(graph: Graph) -> Made:
    """Exchange channels between groups: Reshape, Transpose, Reshape, of constant or computed shapes."""
    x = graph.value(lambda v: len(v.shape) == 4 and 0 not in v.shape and v.shape[1] % 2 == 0, ["float32"])
    batch, channels, height, width = x.shape
    if graph.chance(2):
        front = dimension(graph, x, 0)
        pair = [graph.integers(2, channels // 2, height, width), graph.integers(channels, height, width)]
        first, last = (graph.op("Concat", front, rest, shape=(1 + rest.shape[0],), axis=0) for rest in pair)
    else:
        first, last = graph.integers(0, 2, channels // 2, height, width), graph.integers(-1, channels, height, width)
    kept = {"magnitude": x.magnitude, "exact": x.exact, "dtype": x.dtype}
    split = graph.op("Reshape", x, first, shape=(batch, 2, channels // 2, height, width), **kept)
    turned = graph.op("Transpose", split, shape=(batch, channels // 2, 2, height, width), perm=[0, 2, 1, 3, 4], **kept)
    return [graph.op("Reshape", turned, last, shape=x.shape, **kept)]


def channels_last(graph: Graph) -> Made:
    """Do something elementwise between two Transposes that undo each other, as converters from TensorFlow do."""
    x = graph.value(lambda v: len(v.shape) == 4 and v.magnitude < 50, ["float32"])
    batch, channels, height, width = x.shape
    made = graph.op("Transpose", x, shape=(batch, height, width, channels), perm=[0, 2, 3, 1])
    for _ in range(graph.choose(1, 2)):
        kind = graph.choose("scale", "relu", "add")
        if kind == "add":
            other = graph.value(lambda v: v.shape == x.shape and v.magnitude < 50, ["float32"])
            turned = graph.op("Transpose", other, shape=made.shape, perm=[0, 2, 3, 1])
            made = graph.op("Add", made, turned, magnitude=made.magnitude + other.magnitude)
        elif kind == "scale":
            made = graph.op("Mul", made, graph.weight(channels, positive=True), magnitude=made.magnitude * 2)
        else:
            made = graph.op("Relu", made)
    back = graph.op("Transpose", made, shape=x.shape, perm=[0, 3, 1, 2])
    return [back if graph.chance(4) else transposed(graph, made), back]


SPELLINGS = (
    hard,
    smooth,
    smooth,
    leaky,
    layer,
    layer,
    soft,
    *[tail] * 4,
    *[head] * 2,
    residual,
    shuffle,
    channels_last,
    channels_last,
    rectifier,
    rectifier,
    sums_of_powers,
    blocks,
    groups,
    padded_twice,
)
