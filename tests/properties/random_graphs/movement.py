"""Operators that move elements and compute nothing, and the arithmetic on shapes that tells them where to."""

from __future__ import annotations

import math

import numpy as np

from tests.properties.random_graphs.graph import Graph, Shape, UnfitError, Value, replaced

Made = list[Value]

EVERY = ("float32", "float16", "int64", "bool")
AXES_ARE_INPUT = 13


def _tensor(graph: Graph, rank: int) -> Value:
    return graph.value(lambda value: len(value.shape) >= rank, EVERY)


def transpose(graph: Graph) -> Made:
    """Transpose, and perhaps again after something elementwise."""
    x = _tensor(graph, 2)
    first = transposed(graph, x)
    if graph.chance(2):
        return [first]
    between = graph.op("Relu", first) if x.dtype == "float32" and graph.chance(2) else first
    return [transposed(graph, between)]


def transposed(graph: Graph, x: Value) -> Value:
    order = (
        [0, *graph.permutation(range(1, len(x.shape)))] if graph.chance(2) else graph.permutation(range(len(x.shape)))
    )
    return graph.op("Transpose", x, shape=tuple(x.shape[axis] for axis in order), exact=x.exact, perm=order)


def reshape(graph: Graph) -> Made:
    """Flatten or split axes, the first one kept by 0, by -1 or by arithmetic on the shape."""
    x = graph.value(lambda value: len(value.shape) >= 2 and 0 not in value.shape, EVERY)
    batch, *rest = x.shape
    target = graph.choose((math.prod(rest),), (*rest, 1), (rest[0], math.prod(rest[1:])), tuple(rest), (1, *rest))
    if graph.chance(2):
        shape = graph.integers(graph.choose(0, -1), *target)
    else:
        shape = graph.op("Concat", dimension(graph, x, 0), graph.integers(*target), shape=(1 + len(target),), axis=0)
    return [graph.op("Reshape", x, shape, shape=(batch, *target), dtype=x.dtype, magnitude=x.magnitude, exact=x.exact)]


def dimension(graph: Graph, x: Value, axis: int) -> Value:
    """Compute one dimension of a value as a vector, in one of the ways of exporters."""
    shape = graph.op("Shape", x, shape=(len(x.shape),), dtype="int64", exact=True)
    how = graph.choose("gather", "slice", "unsqueeze", "cast")
    if how == "slice":
        bounds = [graph.integers(axis), graph.integers(axis + 1), graph.integers(0)]
        return graph.op("Slice", shape, *bounds, shape=(1,), exact=True)
    if how == "gather":
        return graph.op("Gather", shape, graph.integers(axis), shape=(1,), exact=True, axis=0)
    size = graph.op("Gather", shape, graph.integer(axis), shape=(), exact=True, axis=0)
    if how == "cast":
        half = graph.op("Div", graph.op("Mul", size, graph.integer(2)), graph.integer(2), exact=True)
        size = graph.op("Cast", graph.op("Cast", half, to=6, dtype="int32"), to=7, dtype="int64", exact=True)
    return graph.over_axes("Unsqueeze", size, [0], AXES_ARE_INPUT, shape=(1,), exact=True)


def flatten_by_shape(graph: Graph) -> Made:
    """Reshape to what is computed of the shape alone: [d0, -1], or [d0·d1, d2, d3] and back."""
    x = graph.value(lambda value: len(value.shape) == 4 and 0 not in value.shape, ("float32", "float16"))
    first, channels, *sides = x.shape
    if graph.chance(2):
        shape = graph.op("Concat", dimension(graph, x, 0), graph.integers(-1), shape=(2,), axis=0)
        made = (first, channels * math.prod(sides))
        return [graph.op("Reshape", x, shape, shape=made, dtype=x.dtype, magnitude=x.magnitude, exact=x.exact)]
    both = graph.op("Mul", dimension(graph, x, 0), dimension(graph, x, 1), exact=True)
    height, width = dimension(graph, x, 2), dimension(graph, x, 3)
    shape = graph.op("Concat", both, height, width, shape=(3,), axis=0)
    made = (first * channels, *sides)
    return [graph.op("Reshape", x, shape, shape=made, dtype=x.dtype, magnitude=x.magnitude, exact=x.exact)]


def resize_like(graph: Graph) -> Made:
    """Resize an image to twice its height and width, which are computed of its shape."""
    x = graph.image()
    height, width = (2 * side for side in x.shape[2:])
    if max(height, width) > 20 or x.dtype != "float32":
        raise UnfitError
    sides = [graph.op("Mul", dimension(graph, x, axis), graph.integers(2), exact=True) for axis in (2, 3)]
    sizes = graph.op("Concat", dimension(graph, x, 0), dimension(graph, x, 1), *sides, shape=(4,), axis=0)
    empty = graph.empty()
    shape = (*x.shape[:2], height, width)
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return [graph.op("Resize", x, empty, empty, sizes, shape=shape, magnitude=x.magnitude, exact=x.exact, **attributes)]


def filled_like(graph: Graph) -> Made:
    """Make a constant of the shape of a value, or expand one to it."""
    x = graph.value(lambda value: len(value.shape) >= 1, ["float32"])
    shape = graph.op("Shape", x, shape=(len(x.shape),), dtype="int64", exact=True)
    if graph.chance(2):
        return [graph.op("Expand", graph.weight(*graph.choose((), (1,))), shape, shape=x.shape)]
    filled = graph.op("ConstantOfShape", shape, shape=x.shape, dtype="float32", magnitude=1.0, exact=True)
    return [graph.op("Add", x, filled)]


def flatten(graph: Graph) -> Made:
    x = _tensor(graph, 2)
    axis = graph.choose(*range(1, len(x.shape)))
    shape = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    return [graph.op("Flatten", x, shape=shape, exact=x.exact, axis=axis)]


def unsqueeze(graph: Graph) -> Made:
    """Insert an axis of size 1, and perhaps take it away again."""
    x = graph.value(lambda value: len(value.shape) < 5, EVERY)
    axis = graph.choose(*range(len(x.shape) + 1))
    shape = (*x.shape[:axis], 1, *x.shape[axis:])
    made = graph.over_axes("Unsqueeze", x, [axis], AXES_ARE_INPUT, shape=shape, magnitude=x.magnitude, exact=x.exact)
    return [squeezed(graph, made) if graph.chance(3) else made]


def squeeze(graph: Graph) -> Made:
    return [squeezed(graph, graph.value(lambda value: 1 in value.shape[1:], EVERY))]


def squeezed(graph: Graph, x: Value) -> Value:
    axis = graph.choose(*[axis for axis, size in enumerate(x.shape) if size == 1])
    shape = replaced(x.shape, axis)
    return graph.over_axes("Squeeze", x, [axis], AXES_ARE_INPUT, shape=shape, magnitude=x.magnitude, exact=x.exact)


def concat(graph: Graph) -> Made:
    first = _tensor(graph, 2)
    axis = graph.choose(*range(1, len(first.shape)), 0)

    def fits(value: Value) -> bool:
        same_rank = len(value.shape) == len(first.shape)
        return same_rank and replaced(value.shape, axis) == replaced(first.shape, axis)

    parts = [first, graph.value(fits, [first.dtype])]
    if graph.chance(2):
        parts.append(graph.value(fits, [first.dtype]))
    if graph.chance(4) and first.dtype == "float32":
        parts.append(graph.weight(*replaced(first.shape, axis, 2)) if axis else parts[0])
    shape = replaced(first.shape, axis, sum(part.shape[axis] for part in parts))
    exact = all(part.exact for part in parts)
    return [graph.op("Concat", *parts, shape=shape, exact=exact, axis=graph.choose(axis, axis - len(shape)))]


def split(graph: Graph) -> Made:
    """Split into two parts, and perhaps put them together again, in this order or the other."""
    x = graph.value(lambda value: len(value.shape) >= 2 and max(value.shape[1:]) >= 2, EVERY)
    axis = graph.choose(*[axis for axis, size in enumerate(x.shape) if axis and size >= 2])
    first = graph.choose(*range(1, x.shape[axis]), x.shape[axis] // 2)
    sizes = (first, x.shape[axis] - first)
    parts = [x._replace(name=graph.name(), shape=replaced(x.shape, axis, size)) for size in sizes]
    if graph.opset >= AXES_ARE_INPUT:
        graph.ops("Split", [x, graph.integers(*sizes)], parts, axis=axis)
    else:
        graph.ops("Split", [x], parts, axis=axis, split=list(sizes))
    if graph.chance(2):
        return parts
    order = graph.choose(parts, parts[::-1])
    return [graph.op("Concat", *order, shape=x.shape, exact=x.exact, axis=axis)]


def slice_(graph: Graph) -> Made:
    """Slice one axis, from either end, in steps of any sign; it may come out empty."""
    x = graph.value(lambda value: len(value.shape) >= 2 and max(value.shape[1:]) >= 2, EVERY)
    return [sliced(graph, sliced(graph, x) if graph.chance(3) else x)]


def sliced(graph: Graph, x: Value) -> Value:
    axis = graph.choose(*range(1, len(x.shape)))
    size, far = x.shape[axis], 2**31
    starts_and_ends = [(0, far, 1), (1, far, 1), (0, -1, 1), (-2, far, 1), (0, far, 2), (-1, -far, -1), (size, far, 1)]
    start, end, step = graph.choose(*starts_and_ends)
    left = len(range(size)[slice(start, None if abs(end) == far else end, step)])
    if left == 0 and not graph.chance(3):
        raise UnfitError
    operands = [graph.integers(start), graph.integers(end), graph.integers(graph.choose(axis, axis - len(x.shape)))]
    operands += [graph.integers(step)] if step != 1 or graph.chance(2) else []
    shape = replaced(x.shape, axis, left)
    return graph.op("Slice", x, *operands, shape=shape, magnitude=x.magnitude, exact=x.exact)


def pad(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 2 and min(value.shape[1:]) >= 2, ["float32"])
    axis, mode = graph.choose(*range(1, len(x.shape))), graph.choose("constant", "edge", "reflect")
    before, after = graph.choose(0, 1), graph.choose(0, 1, -1 if mode == "constant" else 1)
    around = [0] * 2 * len(x.shape)
    around[axis], around[axis + len(x.shape)] = before, after
    shape = replaced(x.shape, axis, x.shape[axis] + before + after)
    return [graph.op("Pad", x, graph.integers(*around), shape=shape, magnitude=x.magnitude, exact=x.exact, mode=mode)]


def gather(graph: Graph) -> Made:
    """Gather by constants of any rank, in order or not."""
    x = graph.value(lambda value: len(value.shape) >= 2 and min(value.shape[1:]) >= 1, EVERY)
    axis = graph.choose(*range(1, len(x.shape)))
    size = x.shape[axis]
    indices = graph.choose([0], [-1], list(range(size)), list(range(size))[::-1], [size - 1, 0, 0], 0, [[0, -1]])
    array = np.array(indices, np.int64)
    shape = replaced(x.shape, axis, *array.shape)
    if len(shape) > 5:
        raise UnfitError
    return [graph.op("Gather", x, graph.constant(array), shape=shape, magnitude=x.magnitude, exact=x.exact, axis=axis)]


def expand(graph: Graph) -> Made:
    x = graph.value(lambda value: 1 in value.shape[1:], EVERY)
    axis = graph.choose(*[axis for axis, size in enumerate(x.shape) if axis and size == 1])
    factors = replaced((1,) * len(x.shape), axis, graph.choose(3, 1))
    operator = graph.choose("Expand", "Tile")
    shape = tuple(size * factor for size, factor in zip(x.shape, factors, strict=True))
    return [graph.op(operator, x, graph.integers(*factors), shape=shape, magnitude=x.magnitude, exact=x.exact)]


def tile(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 1 and math.prod(value.shape) < 300, ("float32", "int64"))
    axis = graph.choose(*range(len(x.shape)))
    factors: Shape = replaced((1,) * len(x.shape), axis, graph.choose(1, 2, 1))
    shape = tuple(size * factor for size, factor in zip(x.shape, factors, strict=True))
    return [graph.op("Tile", x, graph.integers(*factors), shape=shape, magnitude=x.magnitude, exact=x.exact)]


def shape_values(graph: Graph) -> Made:
    """Make a number of the shape of a value: what exporters divide by."""
    x = _tensor(graph, 1)
    axis = graph.choose(*range(len(x.shape)))
    size = graph.op("Cast", dimension(graph, x, axis), to=1, dtype="float32", magnitude=20.0, exact=True)
    return [graph.op("Mul", size, graph.number(size, 0.25), magnitude=5.0, exact=True)]


def top(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 1 and value.shape[-1] >= 2 and value.exact, ["float32"])
    shape = replaced(x.shape, len(x.shape) - 1, 2)
    outputs = [x._replace(name=graph.name(), shape=shape), Value(graph.name(), shape, "int64", 20.0, exact=True)]
    return list(graph.ops("TopK", [x, graph.integers(2)], outputs))


MOVEMENT = (
    *[transpose] * 4,
    *[reshape] * 3,
    *[concat] * 3,
    *[slice_] * 2,
    *[gather] * 2,
    split,
    split,
    flatten_by_shape,
    resize_like,
    filled_like,
    flatten,
    unsqueeze,
    squeeze,
    pad,
    expand,
    tile,
    shape_values,
    top,
)
