"""Random networks of the kind that passes rewrite: every way to be foldable, and the awkward ways not to be.

`random_graphs()` draws a model; hypothesis can shrink it, since every choice is one of its draws. Only the
content of weights comes from a seeded generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
BATCH = 2
Shape = tuple[int, ...]


class Value(NamedTuple):
    """A float tensor of the graph, with the shape it has for a batch of two."""

    name: str
    shape: Shape


Operands = list[str | Value]


class UnfitError(Exception):
    """The drawn operator takes none of the values there are."""


@st.composite
def random_graphs(draw: st.DrawFn, *, nodes: int = 20) -> onnx.ModelProto:
    """Draw a model of about `nodes` operators, constants and their disguises not counted; input x, batch 2 or N."""
    channels, height, width = draw(st.integers(1, 6)), draw(st.integers(4, 9)), draw(st.integers(4, 9))
    graph = _Graph(draw, np.random.default_rng(draw(st.integers(0, 999))))
    graph.values.append(Value("x", (BATCH, channels, height, width)))
    for _ in range(nodes):
        operator = draw(st.sampled_from(OPERATORS))
        try:
            graph.values.extend(operator(graph))
        except UnfitError:
            continue
    return graph.model(batch=graph.choose("N", BATCH))


@dataclass
class _Graph:
    """A graph under construction."""

    draw: Callable[[st.SearchStrategy[Any]], Any]
    rng: np.random.Generator
    values: list[Value] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    weights: dict[Shape, list[str]] = field(default_factory=dict)
    names: int = 0

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def value(self, fits: Callable[[Value], bool] = lambda _: True) -> Value:
        """Choose among the values that fit, the newest half of the time: patterns are chains."""
        fitting = [value for value in reversed(self.values) if fits(value)]
        if not fitting:
            raise UnfitError
        chosen: Value = self.choose(*fitting[:1] * len(fitting), *fitting[1:])
        return chosen

    def image(self) -> Value:
        return self.value(lambda value: len(value.shape) == 4)

    def name(self) -> str:
        self.names += 1
        return f"v{self.names}"

    def node(self, op_type: str, inputs: Sequence[str | Value], shape: Shape, **attributes: Any) -> Value:
        return self.nodes_of(op_type, inputs, [shape], **attributes)[0]

    def nodes_of(
        self, op_type: str, inputs: Sequence[str | Value], shapes: Sequence[Shape], **attributes: Any
    ) -> list[Value]:
        made = [Value(self.name(), shape) for shape in shapes]
        names = [item.name if isinstance(item, Value) else item for item in inputs]
        self.nodes.append(helper.make_node(op_type, names, [value.name for value in made], **attributes))
        return made

    def weight(self, *shape: int, positive: bool = False) -> str:
        """Return a constant of random numbers, sometimes one that others read too."""
        known = self.weights.setdefault(shape, [])
        if known and not positive and self.choose(False, False, True):
            return str(self.choose(*known))
        drawn = self.rng.uniform(0.5, 1.5, shape) if positive else self.rng.normal(0, 0.5, shape)
        name = self.constant(drawn.astype(np.float32))
        if not positive:
            known.append(name)
        return name

    def constant(self, array: npt.NDArray[np.generic]) -> str:
        """Return a constant in one of its disguises."""
        name = self.name()
        disguise = self.choose("initializer", "node", "identity", "sum")
        tensor = numpy_helper.from_array(np.asarray(array), name)
        if disguise == "node":
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
            return name
        self.initializers.append(tensor)
        if disguise == "initializer":
            return name
        disguised = self.name()
        operator, inputs = ("Identity", [name]) if disguise == "identity" else ("Add", [name, name])
        self.nodes.append(helper.make_node(operator, inputs, [disguised]))
        return disguised

    def integers(self, *numbers: int) -> str:
        """Return a constant vector of integers, as shapes, axes and pads are."""
        name = self.name()
        self.initializers.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
        return name

    def model(self, *, batch: str | int) -> onnx.ModelProto:
        """Finish: most values that no node reads are outputs, and some others are too."""
        made = self.values[1:] or [self.node("Relu", self.values, self.values[0].shape)]
        read = {name for node in self.nodes for name in node.input}
        unread = [value for value in made if value.name not in read]
        others = self.draw(st.lists(st.sampled_from(made), max_size=2, unique=True))
        outputs = dict.fromkeys([*unread[self.choose(0, 0, 1, 2) :], *others, made[-1]])
        declared = [
            helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [None] * len(value.shape)) for value in outputs
        ]
        x = self.values[0]
        inputs = [helper.make_tensor_value_info(x.name, TensorProto.FLOAT, [batch, *x.shape[1:]])]
        graph = helper.make_graph(self.nodes, "random", inputs, declared, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _conv(graph: _Graph) -> list[Value]:
    x = graph.image()
    batch, channels, *sides = x.shape
    group = graph.choose(1, math.gcd(channels, 2), channels)
    out = group * graph.choose(1, 2, 3)
    kernel = [graph.choose(*range(1, min(side, 3) + 1)) for side in sides]
    pads = [graph.choose(0, 1) for _ in range(4)]
    strides = [graph.choose(1, 2) for _ in sides]
    shape = tuple((side + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, side in enumerate(sides))
    inputs: Operands = [x, graph.weight(out, channels // group, *kernel), *graph.choose([], [graph.weight(out)])]
    return [graph.node("Conv", inputs, (batch, out, *shape), group=group, pads=pads, strides=strides)]


def _conv_transpose(graph: _Graph) -> list[Value]:
    x = graph.image()
    batch, channels, *sides = x.shape
    group = graph.choose(1, math.gcd(channels, 2))
    strides = [graph.choose(1, 2) for _ in sides]
    shape = tuple((side - 1) * stride + 2 for side, stride in zip(sides, strides, strict=True))
    if max(shape) > 16:
        raise UnfitError
    out = graph.choose(1, 2)
    inputs: Operands = [x, graph.weight(channels, out, 2, 2)]
    return [graph.node("ConvTranspose", inputs, (batch, out * group, *shape), group=group, strides=strides)]


def _batch_norm(graph: _Graph) -> list[Value]:
    x = graph.value(lambda value: len(value.shape) >= 2)
    channels = x.shape[1]
    inputs: Operands = [x, *(graph.weight(channels) for _ in range(3)), graph.weight(channels, positive=True)]
    return [graph.node("BatchNormalization", inputs, x.shape, epsilon=graph.choose(1e-5, 1e-3))]


def _linear(graph: _Graph) -> list[Value]:
    x = graph.value(lambda value: len(value.shape) == 2)
    rows, columns = x.shape
    out = graph.choose(1, 3, 5)
    if graph.choose(True, False):
        return [graph.node("MatMul", [x, graph.weight(columns, out)], (rows, out))]
    transposed = graph.choose(0, 1)
    weight = graph.weight(out, columns) if transposed else graph.weight(columns, out)
    bias = graph.choose([], [graph.weight(out)], [graph.weight(1)])
    return [graph.node("Gemm", [x, weight, *bias], (rows, out), transB=transposed, alpha=graph.choose(1.0, 0.5))]


def _activation(graph: _Graph) -> list[Value]:
    x = graph.value()
    return [graph.node(graph.choose("Relu", "Sigmoid", "Tanh", "Abs", "Neg", "LeakyRelu", "Identity"), [x], x.shape)]


def _scale_or_shift(graph: _Graph) -> list[Value]:
    x = graph.value()
    shapes = [(), (1,), x.shape[-1:], (1,) * len(x.shape)]
    if len(x.shape) >= 2:
        shapes.append((x.shape[1],) + (1,) * (len(x.shape) - 2))
    operands: Operands = [x, graph.weight(*graph.choose(*shapes), positive=True)]
    operator = graph.choose("Mul", "Add", "Sub", "Div")
    if operator in {"Mul", "Add"} and graph.choose(True, False):
        operands.reverse()
    return [graph.node(operator, operands, x.shape)]


def _neutral(graph: _Graph) -> list[Value]:
    """Do nothing, in one of the ways in which exporters do."""
    x = graph.value()
    rank = len(x.shape)
    operator = graph.choose(
        "Identity", "Dropout", "Cast", "Transpose", "Pad", "Slice", "Concat", "Expand", "Mul", "Add"
    )
    inputs: dict[str, Callable[[], list[str]]] = {
        "Pad": lambda: [graph.integers(*[0] * 2 * rank)],
        "Slice": lambda: [graph.integers(0), graph.integers(2**31), graph.integers(rank - 1)],
        "Expand": lambda: [graph.integers(*[1] * rank)],
        "Mul": lambda: [graph.constant(np.ones((), np.float32))],
        "Add": lambda: [graph.constant(np.zeros([1] * rank, np.float32))],
    }
    attributes: dict[str, dict[str, Any]] = {
        "Cast": {"to": TensorProto.FLOAT},
        "Transpose": {"perm": list(range(rank))},
        "Concat": {"axis": 0},
    }
    operands = inputs[operator]() if operator in inputs else []
    return [graph.node(operator, [x, *operands], x.shape, **attributes.get(operator, {}))]


def _combine(graph: _Graph) -> list[Value]:
    left = graph.value()
    right = graph.value(lambda value: value.shape == left.shape)
    return [graph.node(graph.choose("Add", "Mul", "Max", "Sum"), [left, right], left.shape)]


def _concat(graph: _Graph) -> list[Value]:
    first = graph.value(lambda value: len(value.shape) >= 2)
    axis = graph.choose(*range(1, len(first.shape)))

    def fits(value: Value) -> bool:
        return _without(value.shape, axis) == _without(first.shape, axis) and len(value.shape) == len(first.shape)

    parts = [first, graph.value(fits), *graph.choose([], [first])]
    size = sum(part.shape[axis] for part in parts)
    return [
        graph.node(
            "Concat", parts, _replaced(first.shape, axis, size), axis=graph.choose(axis, axis - len(first.shape))
        )
    ]


def _split(graph: _Graph) -> list[Value]:
    x = graph.value(lambda value: len(value.shape) >= 2 and value.shape[1] >= 2)
    first = graph.choose(*range(1, x.shape[1]))
    shapes = [_replaced(x.shape, 1, first), _replaced(x.shape, 1, x.shape[1] - first)]
    return graph.nodes_of("Split", [x, graph.integers(first, x.shape[1] - first)], shapes, axis=1)


def _slice(graph: _Graph) -> list[Value]:
    x = graph.value(lambda value: len(value.shape) >= 2 and value.shape[-1] >= 3)
    start, step = graph.choose(0, 1), graph.choose(1, 2)
    size = len(range(start, x.shape[-1], step))
    operands = [graph.integers(start), graph.integers(2**31), graph.integers(-1), graph.integers(step)]
    return [graph.node("Slice", [x, *operands], _replaced(x.shape, len(x.shape) - 1, size))]


def _transpose(graph: _Graph) -> list[Value]:
    x = graph.value(lambda value: len(value.shape) >= 3)
    order = [0, *graph.draw(st.permutations(range(1, len(x.shape))))]
    return [graph.node("Transpose", [x], tuple(x.shape[axis] for axis in order), perm=order)]


def _reshape(graph: _Graph) -> list[Value]:
    """Flatten, or split the last axis, the batch kept by 0, by -1 or by arithmetic on the shape."""
    x = graph.value(lambda value: len(value.shape) >= 2)
    batch, *rest = x.shape
    target = graph.choose((math.prod(rest),), (*rest, 1), (rest[0], math.prod(rest[1:])), tuple(rest))
    if graph.choose(True, False):
        return [graph.node("Reshape", [x, graph.integers(graph.choose(0, -1), *target)], (batch, *target))]
    shape = graph.node("Shape", [x], ())
    size = graph.node("Gather", [shape, graph.integers(0)], (), axis=0)
    target_value = graph.node("Concat", [size, graph.integers(*target)], (), axis=0)
    return [graph.node("Reshape", [x, target_value], (batch, *target))]


def _pool(graph: _Graph) -> list[Value]:
    x = graph.value(lambda value: len(value.shape) == 4 and min(value.shape[2:]) >= 2)
    batch, channels, *sides = x.shape
    operator, ceil = graph.choose("MaxPool", "AveragePool"), graph.choose(0, 1)
    shape = [-(-(side - 2) // 2) + 1 if ceil else (side - 2) // 2 + 1 for side in sides]
    pool = graph.node(operator, [x], (batch, channels, *shape), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=ceil)
    return [pool]


def _reduce(graph: _Graph) -> list[Value]:
    x = graph.image()
    shape = (*x.shape[:2], 1, 1)
    if graph.choose(True, False):
        return [graph.node("GlobalAveragePool", [x], shape)]
    return [graph.node("ReduceMean", [x], shape, axes=[2, 3], keepdims=1)]


def _again(graph: _Graph) -> list[Value]:
    """Repeat an operator that is there already."""
    repeated = [node for node in graph.nodes if node.output[0] in {value.name for value in graph.values}]
    if not repeated:
        raise UnfitError
    node = graph.choose(*reversed(repeated))
    shapes = {value.name: value.shape for value in graph.values}
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    made = [Value(graph.name(), shapes[name]) for name in node.output]
    copy.output[:] = [value.name for value in made]
    graph.nodes.append(copy)
    return made


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def _replaced(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


OPERATORS = (
    _activation,
    _conv,
    _conv,
    _batch_norm,
    _batch_norm,
    _scale_or_shift,
    _scale_or_shift,
    _neutral,
    _combine,
    _linear,
    _reshape,
    _concat,
    _conv_transpose,
    _pool,
    _reduce,
    _split,
    _slice,
    _transpose,
    _again,
)
