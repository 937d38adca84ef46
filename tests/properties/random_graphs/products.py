"""Matrix products, reductions, and what normalizes along axes."""

from __future__ import annotations

from tests.properties.random_graphs.graph import Graph, UnfitError, Value, replaced

Made = list[Value]

REDUCTIONS = "ReduceMean ReduceSum ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp".split()
AXES_ARE_INPUT = 18
SUM_AXES_ARE_INPUT = 13


def linear(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) == 2 and value.magnitude < 100 and 0 not in value.shape)
    return [multiplied(graph, x)]


def multiplied(graph: Graph, x: Value) -> Value:
    """Multiply a matrix by a constant, in each way that Gemm offers."""
    rows, columns = x.shape
    out, size = graph.choose(1, 3, 5), 2 * x.magnitude + 1
    if graph.chance(2):
        product = graph.op("MatMul", x, graph.weight(columns, out, dtype=x.dtype), shape=(rows, out), magnitude=size)
        return graph.op("Add", product, graph.weight(out, dtype=x.dtype)) if graph.chance(2) else product
    transposed = graph.choose(0, 1)
    weight = graph.weight(out, columns, dtype=x.dtype) if transposed else graph.weight(columns, out, dtype=x.dtype)
    shapes: list[tuple[int, ...]] = [(out,), (1,), (1, out), ()]
    bias = [graph.weight(*graph.choose(*shapes), dtype=x.dtype)] if graph.chance(2) else []
    factors = {"transB": transposed, "alpha": graph.choose(1.0, 0.5), "beta": graph.choose(1.0, 2.0)}
    return graph.op("Gemm", x, weight, *bias, shape=(rows, out), magnitude=size, **factors)


def transposed_gemm(graph: Graph) -> Made:
    """Multiply the transpose of a matrix."""
    x = graph.value(lambda value: len(value.shape) == 2 and 0 not in value.shape and value.magnitude < 100, ["float32"])
    rows, columns = x.shape
    weight = graph.weight(rows, 3)
    if graph.chance(2):
        return [graph.op("Gemm", x, weight, shape=(columns, 3), magnitude=2 * x.magnitude + 1, transA=1)]
    flipped = graph.op("Transpose", x, shape=(columns, rows))
    return [graph.op("MatMul", flipped, weight, shape=(columns, 3), magnitude=2 * x.magnitude + 1)]


def batched_product(graph: Graph) -> Made:
    """Multiply stacks of matrices, by a constant or by each other."""
    x = graph.value(lambda value: len(value.shape) >= 3 and 0 not in value.shape and value.magnitude < 20, ["float32"])
    *stack, rows, columns = x.shape
    if graph.chance(2):
        transposed = graph.op("Transpose", x, shape=(*stack, columns, rows), perm=_swapped(len(x.shape)))
        return [graph.op("MatMul", x, transposed, shape=(*stack, rows, rows), magnitude=columns * x.magnitude**2)]
    out = graph.choose(1, 2, columns)
    weight = graph.weight(*graph.choose((), (1,)), columns, out)
    product = graph.op("MatMul", x, weight, shape=(*stack, rows, out), magnitude=2 * x.magnitude + 1)
    return [graph.op("Add", product, graph.weight(out)) if graph.chance(2) else product]


def _swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


def reduction(graph: Graph) -> Made:
    """Reduce some axes, seen from either end, kept or not; and perhaps what is left again."""
    x = graph.value(lambda value: len(value.shape) >= 1 and 0 not in value.shape and value.magnitude < 30, ["float32"])
    operator = graph.choose(*REDUCTIONS[:4], *REDUCTIONS)
    made = reduced(graph, operator, x)
    return [reduced(graph, operator, made) if made.shape and graph.chance(4) else made]


def reduced(graph: Graph, operator: str, x: Value) -> Value:
    """Reduce some axes of a value."""
    rank, keep = len(x.shape), graph.choose(1, 0)
    first = graph.choose(*range(rank))
    axes = sorted({first, graph.choose(*range(first, rank))})
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes)
    since = SUM_AXES_ARE_INPUT if operator == "ReduceSum" else AXES_ARE_INPUT
    given = [axis - rank for axis in axes] if graph.chance(3) else axes
    taken = 1
    for axis in axes:
        taken *= x.shape[axis]
    size = {
        "ReduceMean": x.magnitude,
        "ReduceMax": x.magnitude,
        "ReduceMin": x.magnitude,
        "ReduceSumSquare": taken * x.magnitude**2,
    }
    grown = size.get(operator, taken * x.magnitude + 1)
    return graph.over_axes(operator, x, given, since, shape=shape, magnitude=grown, keepdims=keep)


def integer_reduction(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 2 and 0 not in value.shape, ("int64", "int32"))
    operator = graph.choose("ReduceSum", "ReduceMax", "ReduceMin")
    since = SUM_AXES_ARE_INPUT if operator == "ReduceSum" else AXES_ARE_INPUT
    return [graph.over_axes(operator, x, [-1], since, shape=(*x.shape[:-1], 1), magnitude=9 * x.magnitude, exact=True)]


def position(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 1 and 0 not in value.shape and value.exact, ["float32"])
    axis, operator = graph.choose(*range(len(x.shape))), graph.choose("ArgMax", "ArgMin")
    return [
        graph.op(operator, x, shape=replaced(x.shape, axis, 1), dtype="int64", magnitude=9.0, exact=True, axis=axis)
    ]


def softmax(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 1 and 0 not in value.shape, ["float32"])
    operator = graph.choose("Softmax", "LogSoftmax")
    axis = graph.choose(-1, *range(len(x.shape)))
    return [graph.op(operator, x, magnitude=1.0 if operator == "Softmax" else 2 * x.magnitude + 9, axis=axis)]


def layer_normalization(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 2 and 0 not in value.shape and value.shape[-1] > 1, ["float32"])
    if graph.opset < 17:
        raise UnfitError
    scale, shift = graph.weight(x.shape[-1]), graph.weight(x.shape[-1])
    return [graph.op("LayerNormalization", x, scale, shift, shape=x.shape, magnitude=4.0, axis=-1)]


PRODUCTS = (
    *[linear] * 3,
    *[batched_product] * 2,
    *[reduction] * 3,
    transposed_gemm,
    integer_reduction,
    position,
    softmax,
    softmax,
    layer_normalization,
)
