"""Chains for the rules of algebra: values that are negated, scaled, bounded and combined with themselves."""

from __future__ import annotations

import numpy as np

from tests.properties.random_graphs.graph import Graph, UnfitError, Value

Made = list[Value]


def chain(graph: Graph) -> Made:
    """Apply a few operators in a row that negate, shift, scale and bound."""
    made = _real(graph)
    for _ in range(graph.choose(2, 3, 4, 5)):
        kind = graph.choose("Neg", "Neg", "Abs", "Relu", "add", "mul", "from", "clip", "div")
        if kind in {"Neg", "Abs", "Relu"}:
            made = graph.op(kind, made)
        elif kind == "from":
            made = graph.op("Sub", graph.number(made, graph.choose(0.0, 1.0)), made, magnitude=made.magnitude + 1)
        elif kind == "clip":
            low, high = (graph.constant(np.array(number, np.float32)) for number in graph.choose((-1, 1), (0, 2)))
            made = graph.op("Clip", made, low, high, shape=made.shape)
        else:
            operator, number = {"add": ("Add", 1.5), "mul": ("Mul", -0.3), "div": ("Div", 3.0)}[kind]
            made = graph.op(operator, made, graph.number(made, number), magnitude=made.magnitude + 2)
    return [made]


def signs(graph: Graph) -> Made:
    """Combine two values of one shape, one or both negated, and let the next operator take the sign."""
    x = _real(graph)
    y = graph.value(lambda value: value.shape == x.shape and value.magnitude < 20, [x.dtype])
    left = graph.op("Neg", x)
    right = graph.choose(x, y, graph.op("Neg", y), graph.op("Abs", x))
    if graph.chance(5):
        right = left
    kind = graph.choose("Mul", "Max", "Min", "Add", "Sub")
    size = left.magnitude * right.magnitude if kind == "Mul" else left.magnitude + right.magnitude
    made = graph.op(kind, left, right, magnitude=max(size, 1.0))
    reader = graph.choose("Neg", "Abs", "Add", "Sub", "Mul")
    if reader in {"Neg", "Abs"}:
        return [graph.op(reader, made)]
    if reader == "Mul":
        return [graph.op("Mul", made, graph.number(made, 0.3))]
    return [graph.op(reader, y, made, magnitude=made.magnitude + y.magnitude)]


def multiples(graph: Graph) -> Made:
    """Add or subtract two multiples of one value."""
    x = _real(graph)
    first = graph.op("Mul", x, graph.number(x, graph.choose(0.5, -2.0)), magnitude=2 * x.magnitude)
    second = graph.choose(x, graph.op("Neg", x), graph.op("Div", x, graph.number(x, 4.0)))
    pair = [first, second] if graph.chance(2) else [second, first]
    return [graph.op(graph.choose("Add", "Sub"), *pair, magnitude=4 * x.magnitude)]


def inverses(graph: Graph) -> Made:
    """Multiply or divide by an inverse, or square a root."""
    x = _real(graph)
    above = graph.op("Add", graph.op("Abs", x), graph.number(x, 0.5), magnitude=x.magnitude + 1)
    if graph.chance(3):
        root = graph.op("Sqrt", graph.op("Abs", x))
        return [graph.op("Mul", root, root, magnitude=x.magnitude)]
    inverse = graph.op("Reciprocal", above, magnitude=2.0)
    return [graph.op(graph.choose("Mul", "Div"), x, inverse, magnitude=x.magnitude * (x.magnitude + 2) + 2)]


def booleans(graph: Graph) -> Made:
    """Negate, combine and choose by booleans."""
    x = graph.value(dtypes=["bool"])
    left = graph.op("Not", x, exact=True)
    y = graph.value(lambda value: value.shape == x.shape, ["bool"])
    right = graph.choose(y, graph.op("Not", y, exact=True))
    made = graph.op(graph.choose("And", "Or", "Xor"), left, right, exact=True)
    if graph.chance(3):
        made = graph.op("Xor", made, graph.constant(np.array(True)), shape=made.shape, exact=True)
    chosen = [graph.constant(np.array(number, np.float32)) for number in (1.0, 2.0)]
    return [made, graph.op("Where", made, *chosen, shape=made.shape, dtype="float32", magnitude=2.0, exact=True)]


def sums(graph: Graph) -> Made:
    """Nest sums and extrema of any number of operands."""
    x = _real(graph)
    alike = [graph.value(lambda value: value.shape == x.shape and value.magnitude < 20, [x.dtype]) for _ in range(3)]
    kind = graph.choose("Sum", "Max", "Min")
    inner = graph.op(kind, x, *alike[: graph.choose(1, 2)], magnitude=40.0)
    pair = [inner, alike[2]] if graph.chance(2) else [alike[2], inner]
    return [graph.op(kind, *pair, magnitude=60.0)]


def cast_like(graph: Graph) -> Made:
    x, y = _real(graph), graph.value(dtypes=("float32", "float64", "int64"))
    if graph.opset < 15 or (y.dtype == "int64" and not x.exact):
        raise UnfitError
    return [graph.op("CastLike", x, y, shape=x.shape, dtype=y.dtype, magnitude=x.magnitude, exact=x.exact)]


def _real(graph: Graph) -> Value:
    return graph.value(lambda value: value.magnitude < 20 and 0 not in value.shape, ["float32"])


IDENTITIES = (chain, chain, signs, signs, signs, multiples, inverses, booleans, sums, cast_like)
