"""Elementwise operators, with every way of broadcasting, and booleans, integers and casts."""

from __future__ import annotations

import numpy as np

from tests.properties.random_graphs.graph import ELEMENTS, FLOATS, Graph, UnfitError, Value

Made = list[Value]

SATURATING = {"Sigmoid": 1.0, "Tanh": 1.0, "Softsign": 1.0, "HardSigmoid": 1.0, "Erf": 1.0, "Sin": 1.0, "Atan": 1.6}
KEEPING = "Relu Abs Neg Identity LeakyRelu Elu Selu Softplus".split()
SINCE = {"Celu": 12, "HardSwish": 14, "Mish": 18, "Gelu": 20}
EXACT = {"Relu", "Abs", "Neg", "Identity"}
STEPS = "Floor Ceil Round Sign".split()


def activation(graph: Graph) -> Made:
    return [activated(graph, graph.value())]


def activated(graph: Graph, x: Value) -> Value:
    """Apply a function that is continuous and does not grow."""
    later = [op_type for op_type, opset in SINCE.items() if graph.opset >= opset]
    op_type = graph.choose(*KEEPING, *SATURATING, *later)
    if op_type == "Celu" and x.dtype != "float32":
        raise UnfitError
    if x.dtype == "float64" and op_type not in {"Relu", "Abs", "Neg", "Identity", "Sigmoid", "Tanh", "Sin", "Atan"}:
        raise UnfitError
    size = SATURATING.get(op_type, 2 * x.magnitude if op_type == "Selu" else x.magnitude + (op_type == "Softplus"))
    return graph.op(op_type, x, magnitude=size, exact=x.exact and op_type in EXACT)


def step(graph: Graph) -> Made:
    """Apply a function with jumps, to what has no rounding errors that could tip it over."""
    x = graph.value(lambda value: value.exact)
    if x.dtype != "float64" and graph.chance(4):
        return [graph.op("ThresholdedRelu", x, alpha=graph.choose(0.0, 0.5), exact=True)]
    return [graph.op(graph.choose(*STEPS), x, magnitude=x.magnitude + 1, exact=True)]


def positive(graph: Graph) -> Made:
    """Apply a function that is defined above zero only, or grows fast."""
    x = graph.value(lambda value: value.magnitude < 40)
    op_type = graph.choose("Sqrt", "Log", "Reciprocal", "Exp")
    if op_type == "Exp":
        return [graph.op("Exp", graph.op("Tanh", x, magnitude=1.0), magnitude=3.0)]
    floor = graph.op("Add", graph.op("Abs", x), graph.number(x, 0.5), magnitude=x.magnitude + 1)
    return [graph.op(op_type, floor, magnitude=max(2.0, x.magnitude))]


def scale_or_shift(graph: Graph) -> Made:
    return [scaled(graph, graph.value(lambda value: value.magnitude < 100))]


def scaled(graph: Graph, x: Value) -> Value:
    """Scale or shift by a constant, of which there are many shapes."""
    shapes = [(), (1,), x.shape[-1:], (1,) * len(x.shape)]
    if len(x.shape) >= 2:
        shapes += [(x.shape[1],) + (1,) * (len(x.shape) - 2), (1, x.shape[1]) + (1,) * (len(x.shape) - 2)]
    c = graph.weight(*graph.choose(*shapes), dtype=x.dtype, positive=True)
    operator = graph.choose("Mul", "Add", "Sub", "Div")
    operands = [c, x] if operator in {"Mul", "Add", "Sub"} and graph.chance(2) else [x, c]
    return graph.op(operator, *operands, magnitude=2 * x.magnitude + 1)


def round_number(graph: Graph) -> Made:
    """Scale or shift by a number for which there is a rule."""
    x = graph.value(lambda value: value.magnitude < 50)
    operator, number = graph.choose(
        ("Mul", 1.0), ("Mul", -1.0), ("Div", 1.0), ("Div", 2.0), ("Mul", 0.5), ("Add", 0.0), ("Sub", 0.0), ("Div", -1.0)
    )
    made = graph.op(operator, x, graph.number(x, number), magnitude=2 * x.magnitude)
    return [made]


def power(graph: Graph) -> Made:
    x = graph.value(lambda value: value.magnitude < 15)
    exponent = graph.choose(2.0, 1.0, 3.0)
    return [graph.op("Pow", x, graph.number(x, exponent), magnitude=max(x.magnitude, 1.0) ** exponent)]


def bound(graph: Graph) -> Made:
    """Apply one of the ways to keep numbers between two others."""
    x = graph.value(lambda value: value.dtype != "float64")
    low, high = graph.choose((0.0, 6.0), (-1.0, 1.0), (0.0, None), (None, 1.0), (0.5, -0.5), (-3.0, 3.0))
    exact = x.exact
    if graph.chance(2) and (low is None or high is None):
        operator, number = ("Max", low) if low is not None else ("Min", high)
        return [graph.op(operator, x, graph.number(x, number), exact=False)]
    limits = [Value("") if number is None else graph.constant(np.array(number, x.dtype)) for number in (low, high)]
    return [graph.op("Clip", x, *limits, shape=x.shape, exact=exact and low == 0.0)]


def slope(graph: Graph) -> Made:
    x = graph.value(lambda value: len(value.shape) >= 2 and value.dtype == "float32")
    shape = graph.choose((1,), (x.shape[1],) + (1,) * (len(x.shape) - 2))
    slopes = np.full(shape, 0.25, np.float32) if graph.chance(3) else graph.rng.uniform(-0.5, 0.5, shape)
    return [graph.op("PRelu", x, graph.constant(slopes.astype(np.float32)), shape=x.shape)]


def combine(graph: Graph) -> Made:
    """Combine values of one shape, or of shapes that broadcast."""
    left = graph.value(lambda value: value.magnitude < 100)
    right = graph.value(lambda value: value.magnitude < 100 and _broadcast(value, left), [left.dtype])
    operator = graph.choose("Add", "Add", "Mul", "Sub", "Max", "Min", "Sum", "Mean")
    size = left.magnitude * right.magnitude if operator == "Mul" else left.magnitude + right.magnitude
    operands = [left, right]
    if operator in {"Max", "Min", "Sum", "Mean"} and left.dtype == "float32" and graph.chance(2):
        operands.append(graph.value(lambda value: value.shape == right.shape and value.magnitude < 100, [left.dtype]))
        size *= 2
    return [graph.op(operator, *operands, magnitude=max(size, 1.0))]


def divide(graph: Graph) -> Made:
    left = graph.value(lambda value: value.magnitude < 100)
    right = graph.value(lambda value: _broadcast(value, left), [left.dtype])
    below = graph.op("Add", graph.op("Abs", right), graph.number(right, 0.5), magnitude=right.magnitude + 1)
    return [graph.op("Div", left, below, magnitude=2 * left.magnitude)]


def cast(graph: Graph) -> Made:
    """Cast through another type and perhaps back."""
    x = graph.value(lambda value: value.magnitude < 50)
    through = graph.choose("float16", "float64", "float32", "float16")
    made = graph.op("Cast", x, to=ELEMENTS[through], dtype=through, exact=x.exact and through != "float16")
    if graph.chance(4):
        return [made]
    return [graph.op("Cast", made, to=ELEMENTS[x.dtype], dtype=x.dtype, exact=made.exact)]


def whole(graph: Graph) -> Made:
    """Make integers, of integers or of numbers without rounding errors."""
    target = graph.choose("int64", "int32")
    if graph.chance(2):
        x = graph.value(lambda value: value.exact and value.magnitude < 50)
        return [graph.op("Cast", x, to=ELEMENTS[target], dtype=target, exact=True)]
    x = graph.value(dtypes=("int64", "int32", "bool"))
    return [graph.op("Cast", x, to=ELEMENTS[target], dtype=target, exact=True)]


def real(graph: Graph) -> Made:
    """Make floats of integers or booleans."""
    x = graph.value(dtypes=("int64", "int32", "bool"))
    made = graph.op("Cast", x, to=ELEMENTS["float32"], dtype="float32", exact=True)
    return [made, graph.op("Mul", made, graph.number(made, 0.25), exact=True)]


def integer_arithmetic(graph: Graph) -> Made:
    x = graph.value(lambda value: value.magnitude < 1e3, ("int64", "int32"))
    operator = graph.choose("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Identity", "Max", "Mod")
    if operator in {"Neg", "Abs", "Identity"}:
        return [graph.op(operator, x, exact=True)]
    numbers = {"Mul": (1, -1, 3), "Div": (1, 2, 3), "Mod": (2, 5)}.get(operator, (0, 1, 7))
    if operator == "Max" and graph.opset < 12:
        raise UnfitError
    c = graph.number(x, graph.choose(*numbers))
    return [graph.op(operator, x, c, magnitude=4 * x.magnitude + 8, exact=True)]


def compare(graph: Graph) -> Made:
    operators = ["Less", "Greater", *(["LessOrEqual", "GreaterOrEqual"] if graph.opset >= 12 else [])]
    x = graph.value(lambda value: value.exact, ("float32", "int64", "int32"))
    number = graph.number(x, graph.choose(0, 1, -1))
    if x.dtype != "float32" and graph.chance(2):
        operators = ["Equal"]
    return [graph.op(graph.choose(*operators), x, number, dtype="bool", exact=True)]


def logic(graph: Graph) -> Made:
    x = graph.value(dtypes=["bool"])
    if graph.chance(2):
        return [graph.op("Not", x, exact=True)]
    y = graph.value(lambda value: _broadcast(value, x), ["bool"])
    return [graph.op(graph.choose("And", "Or", "Xor"), x, y, exact=True)]


def where(graph: Graph) -> Made:
    condition = graph.value(dtypes=["bool"])
    left = graph.value(lambda value: _broadcast(value, condition), (*FLOATS, "int64"))
    number = graph.number(left, 2)
    pair = [left, number] if graph.chance(2) else [number, left]
    return [graph.op("Where", condition, *pair, dtype=left.dtype, magnitude=left.magnitude + 2, exact=left.exact)]


def neutral(graph: Graph) -> Made:
    """Do nothing, in one of the ways in which exporters do."""
    x = graph.value(lambda value: len(value.shape) >= 1 and value.dtype == "float32")
    rank = len(x.shape)
    operator = graph.choose("Identity", "Dropout", "Cast", "Transpose", "Pad", "Slice", "Concat", "Expand", "Sum")
    operands = {
        "Pad": lambda: [graph.integers(*[0] * 2 * rank)],
        "Slice": lambda: [graph.integers(0), graph.integers(2**31), graph.integers(rank - 1)],
        "Expand": lambda: [graph.integers(*[1] * rank)],
    }
    attributes = {"Cast": {"to": 1}, "Transpose": {"perm": list(range(rank))}, "Concat": {"axis": 0}}
    inputs = operands[operator]() if operator in operands else []
    return [
        graph.op(
            operator, x, *inputs, shape=x.shape, magnitude=x.magnitude, exact=x.exact, **attributes.get(operator, {})
        )
    ]


def _broadcast(value: Value, other: Value) -> bool:
    try:
        np.broadcast_shapes(value.shape, other.shape)
    except ValueError:
        return False
    return True


ELEMENTWISE = (
    *[activation] * 4,
    *[scale_or_shift] * 4,
    *[bound] * 2,
    *[combine] * 4,
    round_number,
    step,
    positive,
    power,
    slope,
    divide,
    cast,
    whole,
    real,
    integer_arithmetic,
    compare,
    logic,
    where,
    neutral,
    neutral,
)
