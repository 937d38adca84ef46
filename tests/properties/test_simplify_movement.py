"""However data is moved, simplify-movement keeps the answers and is done after one run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.ir.walk import nodes
from graphopt.numerics import differences
from graphopt.pipeline.context import Context
from graphopt.targets import parse_target
from passes.simplify_movement import SimplifyMovement

EXAMPLES = int(os.environ.get("GRAPHOPT_RANDOM_MOVEMENTS", "100"))
LARGEST = 3000
Shape = tuple[int, ...]


class Text:
    """A model being written: its lines, its constants, and the shape of each value."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.lines: list[str] = []
        self.constants: list[str] = []
        self.shapes: dict[str, Shape] = {"x": (2, 3, 4, 2), "w": (2, 3, 4, 2)}

    def pick(self, options: Sequence[int]) -> int:
        return self.draw(st.sampled_from(options))

    def ints(self, numbers: Sequence[int]) -> str:
        name = f"i{len(self.constants)}"
        self.constants.append(f"int64[{len(numbers)}] {name} = {{{', '.join(map(str, numbers))}}}")
        return name

    def floats(self, shape: Shape) -> str:
        name = f"f{len(self.constants)}"
        self.constants.append(f"float[{', '.join(map(str, shape))}] {name}")
        return name

    def make(self, call: str, *shapes: Shape) -> None:
        if any(not 0 < np.prod(shape, dtype=int) <= LARGEST for shape in shapes):
            return
        names = [f"v{len(self.lines)}_{index}" for index in range(len(shapes))]
        self.lines.append(f"{', '.join(names)} = {call}")
        self.shapes.update(zip(names, shapes, strict=True))

    def model(self) -> str:
        used = " ".join(line.partition("=")[2] for line in self.lines)
        ends = [name for name in self.shapes if name not in ("x", "w") and f" {name}," not in used.replace(")", ",")]
        ends = [name for name in ends if f"({name}," not in used.replace(")", ",")]
        results = ", ".join(f"float[{', '.join(map(str, self.shapes[name]))}] {name}" for name in ends)
        constants = f"<{', '.join(self.constants)}>" if self.constants else ""
        return (
            '<ir_version: 10, opset_import: ["" : 17]>\n'
            f"g (float[2,3,4,2] x, float[2,3,4,2] w) => ({results})\n{constants}\n{{ {chr(10).join(self.lines)} }}"
        )


Operator = Callable[[Text, str, Shape], None]


def transpose(text: Text, name: str, shape: Shape) -> None:
    if not shape:
        return
    perm = text.draw(st.sampled_from([[0, 2, 3, 1], [0, 3, 1, 2], [1, 0, 2, 3]]))
    if len(shape) != 4:
        perm = text.draw(st.permutations(range(len(shape))))
    text.make(f"Transpose <perm = {list(perm)}> ({name})", tuple(shape[axis] for axis in perm))


def elementwise(text: Text, name: str, shape: Shape) -> None:
    operator = text.draw(st.sampled_from(["Relu", "Sigmoid", "Neg"]))
    text.make(f"{operator} ({name})", shape)


def with_constant(text: Text, name: str, shape: Shape) -> None:
    rank = text.draw(st.integers(0, len(shape)))
    dims = tuple(text.pick([1, dim]) for dim in shape[len(shape) - rank :])
    operands = [name, text.floats(dims) if dims else text.floats((1,))]
    if len(operands) > 1 and text.draw(st.booleans()):
        operands.reverse()
    if not shape:
        return
    text.make(f"{text.draw(st.sampled_from(['Add', 'Mul', 'Max']))} ({', '.join(operands)})", shape)


def with_another(text: Text, name: str, shape: Shape) -> None:
    other = text.draw(st.sampled_from([value for value, dims in text.shapes.items() if dims == shape]))
    text.make(f"Add ({name}, {other})", shape)


def concat(text: Text, name: str, shape: Shape) -> None:
    if not shape:
        return
    other = text.draw(st.sampled_from([value for value, dims in text.shapes.items() if dims == shape]))
    axis = text.draw(st.integers(0, len(shape) - 1))
    text.make(f"Concat <axis = {axis - len(shape)}> ({name}, {other})", _with(shape, axis, 2 * shape[axis]))


def split(text: Text, name: str, shape: Shape) -> None:
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if axes:
        axis = text.pick(axes)
        first = text.draw(st.integers(1, shape[axis] - 1))
        sizes = [first, shape[axis] - first]
        text.make(f"Split <axis = {axis}> ({name}, {text.ints(sizes)})", *(_with(shape, axis, size) for size in sizes))
        if text.draw(st.booleans()) and text.lines[-1].partition("=")[2].lstrip().startswith("Split"):
            names = text.lines[-1].partition("=")[0].strip()
            text.make(f"Concat <axis = {axis}> ({names})", shape)


def slices(text: Text, name: str, shape: Shape) -> None:
    if not shape:
        return
    axis = text.draw(st.integers(0, len(shape) - 1))
    start, end = text.draw(st.integers(-4, 4)), text.draw(st.integers(-4, 5))
    step = text.pick([1, 1, 2, -1])
    length = len(range(shape[axis])[start:end:step])
    bounds = ", ".join(text.ints([number]) for number in (start, end, axis, step))
    text.make(f"Slice ({name}, {bounds})", _with(shape, axis, length))


def pad(text: Text, name: str, shape: Shape) -> None:
    pads = [text.pick([0, 0, 1]) for _ in range(2 * len(shape))]
    if shape:
        text.make(
            f"Pad ({name}, {text.ints(pads)})",
            tuple(size + pads[axis] + pads[axis + len(shape)] for axis, size in enumerate(shape)),
        )


def reduce(text: Text, name: str, shape: Shape) -> None:
    if not shape:
        return
    axes = text.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    keeps = text.draw(st.booleans())
    left = tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keeps or axis not in axes)
    operator = text.draw(st.sampled_from(["ReduceMax", "ReduceMean"]))
    text.make(f"{operator} <axes = {sorted(axes)}, keepdims = {int(keeps)}> ({name})", left)


def softmax(text: Text, name: str, shape: Shape) -> None:
    if shape:
        text.make(f"Softmax <axis = {text.draw(st.integers(-len(shape), len(shape) - 1))}> ({name})", shape)


def view(text: Text, name: str, shape: Shape) -> None:
    kind = text.draw(st.sampled_from(["Flatten", "Reshape", "Squeeze", "Unsqueeze"]))
    if kind == "Flatten":
        axis = text.draw(st.integers(0, len(shape)))
        sizes = int(np.prod(shape[:axis], dtype=int)), int(np.prod(shape[axis:], dtype=int))
        text.make(f"Flatten <axis = {axis}> ({name})", sizes)
    elif kind == "Reshape" and len(shape) > 1:
        target = (0, -1, *shape[3:])
        text.make(f"Reshape ({name}, {text.ints(target)})", (shape[0], int(np.prod(shape[1:3], dtype=int)), *shape[3:]))
    elif kind == "Unsqueeze":
        axis = text.draw(st.integers(0, len(shape)))
        text.make(f"Unsqueeze ({name}, {text.ints([axis])})", (*shape[:axis], 1, *shape[axis:]))
    elif 1 in shape:
        axis = shape.index(1)
        text.make(f"Squeeze ({name}, {text.ints([axis])})", shape[:axis] + shape[axis + 1 :])


def repeat(text: Text, name: str, shape: Shape) -> None:
    if not shape:
        return
    if text.draw(st.booleans()):
        repeats = [text.pick([1, 1, 2]) for _ in shape]
        text.make(
            f"Tile ({name}, {text.ints(repeats)})",
            tuple(size * count for size, count in zip(shape, repeats, strict=True)),
        )
    else:
        target = [2 if size == 1 and text.draw(st.booleans()) else size for size in shape]
        text.make(f"Expand ({name}, {text.ints(target)})", tuple(target))


def gather(text: Text, name: str, shape: Shape) -> None:
    if shape:
        axis = text.draw(st.integers(0, len(shape) - 1))
        indices = text.draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), min_size=1, max_size=3))
        text.make(f"Gather <axis = {axis}> ({name}, {text.ints(indices)})", _with(shape, axis, len(indices)))


def resize(text: Text, name: str, shape: Shape) -> None:
    if len(shape) == 4:
        sizes = [shape[0], shape[1], *(text.pick([size, 2 * size]) for size in shape[2:])]
        if text.draw(st.booleans()):
            sizes = [shape[0], *(text.pick([size, 2 * size]) for size in shape[1:3]), shape[3]]
        text.make(f'Resize <mode = "nearest"> ({name}, , , {text.ints(sizes)})', tuple(sizes))


def along_axis(text: Text, name: str, shape: Shape) -> None:
    if shape:
        axis = text.draw(st.integers(-len(shape), len(shape) - 1))
        if text.draw(st.booleans()):
            text.make(f"CumSum ({name}, {text.ints([axis])})", shape)
        else:
            text.make(f"LpNormalization <axis = {axis}> ({name})", shape)


OPERATORS: Sequence[Operator] = (
    transpose, transpose, transpose, elementwise, with_constant, with_another, concat, split, slices, pad, reduce,
    softmax, view, view, repeat, gather, resize, along_axis,
)  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    text = Text(draw)
    for operator in draw(st.lists(st.sampled_from(OPERATORS), min_size=3, max_size=14)):
        recent = list(text.shapes)[-4:]
        name = draw(st.sampled_from(recent))
        operator(text, name, text.shapes[name])
    if not text.lines:
        elementwise(text, "x", text.shapes["x"])
    return text.model()


def _with(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


@settings(max_examples=EXAMPLES, deadline=None)
@given(texts(), st.booleans())
def test_keeps_the_answers_and_is_done(text: str, dynamic: bool) -> None:
    if dynamic:
        text = text.replace("float[2,3,4,2] x", "float[2,3,M,K] x")
    model = parse_model(text)
    infer_shapes(model)
    rng = np.random.default_rng(0)
    feeds: dict[str, npt.NDArray[np.float32]] = {
        name: rng.standard_normal((2, 3, 4, 2)).astype(np.float32) for name in ("x", "w")
    }
    expected = evaluate(model, feeds)
    before = sum(node.op_type == "Transpose" for node in nodes(model))
    context = Context(parse_target("cpu"))
    SimplifyMovement().run(model, context)
    verify(model, types=True)
    assert sum(node.op_type == "Transpose" for node in nodes(model)) <= before
    assert SimplifyMovement().run(model, context) == 0
    worst = differences(expected, evaluate(model, feeds))
    assert all(found.error <= 1e-5 for found in worst), worst


@pytest.mark.parametrize("opset", [8, 11, 13, 18])
def test_transposes_cancel_at_every_opset(opset: int) -> None:
    model = parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[N,3,4] x) => (float[N,3,4] y)'
        "{ a = Transpose <perm = [0,2,1]> (x) b = Relu (a) c = Concat <axis = 1> (b)"
        "  y = Transpose <perm = [0,2,1]> (c) }"
    )
    assert SimplifyMovement().run(model, Context(parse_target("cpu"))) > 0
    assert [node.op_type for node in model.graph] == ["Relu", "Concat"]
