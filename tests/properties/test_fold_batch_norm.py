"""Whatever stands around a normalization, fold-batch-norm keeps the answers, and it is done after one run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.ir.walk import nodes
from graphopt.numerics import differences
from graphopt.pipeline.context import Context
from graphopt.targets import parse_target
from passes.fold_batch_norm import FoldBatchNorm

TOLERANCE = 2e-5
STEPS = ("Mul ({}, {c})", "Mul ({c}, {})", "Add ({}, {c})", "Sub ({}, {c})", "Sub ({c}, {})", "Div ({}, {c})")


@dataclass
class Text:
    """A model being written: its lines, its constants, and what is known of the value in hand."""

    shape: tuple[int, ...]
    value: str = "x"
    lines: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)

    def constant(self, name: str, *shape: int) -> str:
        name = f"{name}{len(self.constants)}"
        self.constants.append(f"float[{', '.join(map(str, shape))}] {name}" if shape else f"float {name}")
        return name

    def step(self, call: str, shape: tuple[int, ...]) -> None:
        self.value = f"v{len(self.lines)}"
        self.lines.append(f"{self.value} = {call}")
        self.shape = shape

    def model(self, source: tuple[int, ...]) -> str:
        dims = ", ".join(map(str, source))
        body = "\n".join([*self.lines, f"y = Relu ({self.value})"])
        result = ", ".join("?" for _ in self.shape)
        return f"g (float[{dims}] x) => (float[{result}] y)\n<{', '.join(self.constants)}>\n{{ {body} }}"


def convolution(text: Text, draw: st.DrawFn) -> None:
    channels, group = text.shape[1], draw(st.sampled_from([g for g in (1, 2, 4) if text.shape[1] % g == 0]))
    rank = len(text.shape) - 2
    width = draw(st.sampled_from([1, 3])) * group
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    transposed = draw(st.booleans())
    strides = [draw(st.integers(1, 2)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    pads = (
        [draw(st.integers(0, 1)) for _ in range(2 * rank)] if draw(st.booleans()) and not transposed else [0] * 2 * rank
    )
    spatial = []
    for axis in range(rank):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        size = text.shape[2 + axis]
        if transposed:
            spatial.append((size - 1) * strides[axis] + reach)
        else:
            spatial.append((size + pads[axis] + pads[axis + rank] - reach) // strides[axis] + 1)
    if not spatial or min(spatial) < 1 or max(spatial) > 40:
        return
    weight = (channels, width // group, *kernel) if transposed else (width, channels // group, *kernel)
    inputs = [text.value, text.constant("w", *weight)]
    if draw(st.booleans()):
        inputs.append(text.constant("b", width))
    attributes = f"group={group}, strides={strides}, dilations={dilations}, pads={pads}"
    operator = "ConvTranspose" if transposed else "Conv"
    text.step(f"{operator} <{attributes}> ({', '.join(inputs)})", (text.shape[0], width, *spatial))


def product(text: Text, draw: st.DrawFn) -> None:
    columns = draw(st.integers(1, 4))
    if len(text.shape) == 2 and draw(st.booleans()):
        trans_a, trans_b = draw(st.booleans()), draw(st.booleans())
        rows, inner = reversed(text.shape) if trans_a else text.shape
        inputs = [text.value, text.constant("w", *((columns, inner) if trans_b else (inner, columns)))]
        shape = draw(st.sampled_from([None, (), (columns,), (1, columns), (rows, 1), (rows, columns)]))
        if shape is not None:
            inputs.append(text.constant("b", *shape) if shape else text.constant("b"))
        attributes = (
            f"transA={int(trans_a)}, transB={int(trans_b)}, alpha={draw(st.sampled_from([1.0, 0.5]))}, beta=2.0"
        )
        text.step(f"Gemm <{attributes}> ({', '.join(inputs)})", (rows, columns))
    elif draw(st.booleans()):
        batch = text.shape[1:-2] if draw(st.booleans()) else ()
        weight = text.constant("w", *batch, text.shape[-1], columns)
        text.step(f"MatMul ({text.value}, {weight})", (*text.shape[:-1], columns))
    else:
        weight = text.constant("w", columns, text.shape[-2])
        text.step(f"MatMul ({weight}, {text.value})", (*text.shape[:-2], columns, text.shape[-1]))


def arithmetic(text: Text, draw: st.DrawFn) -> None:
    rank, channels = len(text.shape), text.shape[1]
    shapes = [(1,), (channels, *[1] * (rank - 2)), (1, channels, *[1] * (rank - 2)), text.shape[-1:], (1,) * rank]
    operand = text.constant("var_c", *draw(st.sampled_from(shapes)))
    text.step(draw(st.sampled_from(STEPS)).format(text.value, c=operand), text.shape)


def normalization(text: Text, draw: st.DrawFn) -> None:
    parameters = [text.constant(part, text.shape[1]) for part in ("s", "t", "m", "var")]
    if draw(st.booleans()):
        zeros = "{" + ", ".join(["0"] * text.shape[1]) + "}"
        text.constants[-3:-1] = [f"{declared} = {zeros}" for declared in text.constants[-3:-1]]
    text.step(f"BatchNormalization <epsilon=0.01> ({', '.join([text.value, *parameters])})", text.shape)


def pooling(text: Text, draw: st.DrawFn) -> None:
    spatial = text.shape[2:]
    if not spatial:
        return
    if draw(st.booleans()):
        text.step(f"GlobalAveragePool ({text.value})", (*text.shape[:2], *[1] * len(spatial)))
        return
    pads = [draw(st.integers(0, 1)) for _ in range(2 * len(spatial))]
    operator = draw(st.sampled_from(["MaxPool <", "AveragePool <", "AveragePool <count_include_pad = 1, "]))
    call = f"{operator}kernel_shape = {[2] * len(spatial)}, pads = {pads}> ({text.value})"
    sizes = [size + pads[axis] + pads[axis + len(spatial)] - 1 for axis, size in enumerate(spatial)]
    if min(sizes) > 0:
        text.step(call, (*text.shape[:2], *sizes))


@st.composite
def texts(draw: st.DrawFn) -> str:
    rank = draw(st.integers(2, 5))
    source = (
        draw(st.integers(1, 3)),
        draw(st.sampled_from([1, 2, 4])),
        *[draw(st.integers(1, 5)) for _ in range(rank - 2)],
    )
    text = Text(source)
    linear = convolution if rank > 2 else product
    neighbours = [linear, product, arithmetic, normalization, pooling]
    for part in draw(st.lists(st.sampled_from(neighbours), max_size=3)):
        part(text, draw)
    normalization(text, draw)
    for part in draw(st.lists(st.sampled_from(neighbours), max_size=3)):
        part(text, draw)
    return text.model(source)


def fold(text: str, seed: int) -> tuple[int, float]:
    """Fold; return how many normalizations are left and how far the answers moved."""
    model = parse_model(text, seed=seed)
    infer_shapes(model)
    feeds = random_feeds(model, seed=seed)
    before = evaluate(model, feeds)
    context = Context(parse_target("cpu"))
    FoldBatchNorm().run(model, context)
    verify(model, types=True)
    assert FoldBatchNorm().run(model, context) == 0
    left = sum(node.op_type == "BatchNormalization" for node in nodes(model))
    return left, differences(before, evaluate(model, feeds))[0].error


@settings(max_examples=120, deadline=None, derandomize=True)
@given(texts(), st.integers(0, 9))
def test_keeps_the_answers(text: str, seed: int) -> None:
    _, error = fold(text, seed)
    assert error <= TOLERANCE, text


BN = "<float[4] s, float[4] t, float[4] m, float[4] v"
FOLDABLE = {
    "1-d, dilated": f"g (float[2,3,9] x) => (float[2,4,?] y) {BN}, float[4,3,3] w> "
    "{ c = Conv <dilations=[2], strides=[2], pads=[1,2]> (x, w) y = BatchNormalization (c, s, t, m, v) }",
    "3-d, depthwise, bias": f"g (float[1,4,5,4,3] x) => (float[1,4,?,?,?] y) {BN}, float[4,1,2,2,2] w, float[4] b> "
    "{ c = Conv <group=4> (x, w, b) y = BatchNormalization (c, s, t, m, v) }",
    "transposed in groups": f"g (float[1,6,5,5] x) => (float[1,4,?,?] y) {BN}, float[6,2,3,3] w> "
    "{ c = ConvTranspose <group=2, strides=[2,2], output_padding=[1,1], pads=[1,1,1,1]> (x, w)"
    "  y = BatchNormalization (c, s, t, m, v) }",
    "transposed Gemm": f"g (float[5,3] x) => (float[3,4] y) {BN}, float[4,5] w, float[3,1] b> "
    "{ c = Gemm <transA=1, transB=1, alpha=0.5, beta=3.0> (x, w, b) y = BatchNormalization (c, s, t, m, v) }",
    "MatMul and Add": f"g (float[3,5] x) => (float[3,4] y) {BN}, float[5,4] w, float[4] b> "
    "{ c = MatMul (x, w) d = Add (b, c) y = BatchNormalization (d, s, t, m, v) }",
    "MatMul by rows": f"g (float[2,5,3] x) => (float[2,4,3] y) {BN}, float[4,5] w> "
    "{ c = MatMul (w, x) y = BatchNormalization (c, s, t, m, v) }",
    "batched MatMul": f"g (float[2,4,3,5] x) => (float[2,4,3,6] y) {BN}, float[4,5,6] w> "
    "{ c = MatMul (x, w) y = BatchNormalization (c, s, t, m, v) }",
    "before a grouped Conv": f"g (float[2,4,5,5] x) => (float[2,6,?,?] y) {BN}, float[6,2,3,2] w> "
    "{ c = BatchNormalization (x, s, t, m, v) y = Conv <group=2, strides=[2,1]> (c, w) }",
    "before a pointwise Conv, SAME": f"g (float[2,4,5,5] x) => (float[2,6,?,?] y) {BN}, float[6,4,1,1] w> "
    '{ c = BatchNormalization (x, s, t, m, v) y = Conv <auto_pad="SAME_UPPER", strides=[2,2]> (c, w) }',
    "before a Gemm": f"g (float[3,4] x) => (float[3,6] y) {BN}, float[6,4] w, float[1,6] b> "
    "{ c = BatchNormalization (x, s, t, m, v) y = Gemm <transB=1, alpha=2.0, beta=0.5> (c, w, b) }",
    "before a MatMul": f"g (float[3,4] x) => (float[2,3,6] y) {BN}, float[2,4,6] w> "
    "{ c = BatchNormalization (x, s, t, m, v) y = MatMul (c, w) }",
    "before a MatMul with a vector": f"g (float[3,4] x) => (float[3] y) {BN}, float[4] w> "
    "{ c = BatchNormalization (x, s, t, m, v) y = MatMul (c, w) }",
    "before a MatMul on the left": f"g (float[2,4,3] x) => (float[2,6,3] y) {BN}, float[6,4] w> "
    "{ c = BatchNormalization (x, s, t, m, v) y = MatMul (w, c) }",
    "a chain": f"g (float[2,3,4,4] x) => (float[2,4,4,4] y) {BN}, float[4,3,1,1] w, float[4,1,1] var_a, "
    "float[4,1,1] b, float[1] var_e> { c = Conv (x, w) d = Sub (b, c) e = BatchNormalization (d, s, t, m, v)"
    "  f = Mul (var_a, e) h = BatchNormalization (f, t, s, m, v) i = Div (h, var_e) y = Add (i, b) }",
    "opset 7": '<ir_version: 8, opset_import: ["": 7]> '
    f"g (float[2,3,4,4] x) => (float[2,4,4,4] y) {BN}, float[4,3,1,1] w> "
    "{ c = Conv (x, w) y = BatchNormalization <spatial=1, momentum=0.5> (c, s, t, m, v) }",
}


@pytest.mark.parametrize("case", FOLDABLE)
def test_folds_all(case: str) -> None:
    for seed in range(3):
        left, error = fold(FOLDABLE[case], seed)
        assert left == 0
        assert error <= TOLERANCE


@pytest.mark.parametrize(("dtype", "statistics"), [("float16", "float"), ("bfloat16", "float"), ("double", "double")])
def test_computes_wide_and_keeps_the_type_of_the_weight(dtype: str, statistics: str) -> None:
    model = parse_model(
        f"g ({dtype}[1,3,2,2] x) => ({dtype}[1,2,2,2] y) <{dtype}[2,3,1,1] w, {dtype}[2] b,"
        f" {statistics}[2] s, {statistics}[2] t, {statistics}[2] m, {statistics}[2] v>"
        "{ c = Conv (x, w, b) y = BatchNormalization (c, s, t, m, v) }"
    )
    constants = {name: value.const_value for name, value in model.graph.initializers.items() if value.const_value}
    wide = {name: tensor.numpy().astype(np.float64) for name, tensor in constants.items()}
    assert FoldBatchNorm().run(model, Context(parse_target("cpu"))) == 1
    scale = wide["s"] / np.sqrt(wide["v"] + 1e-5)
    expected = {
        "y_weight": wide["w"] * scale.reshape(2, 1, 1, 1),
        "y_bias": scale * wide["b"] + (wide["t"] - scale * wide["m"]),
    }
    for name, value in model.graph.initializers.items():
        assert value.const_value is not None
        assert value.dtype == constants["w"].dtype
        np.testing.assert_array_equal(value.const_value.numpy(), expected[name].astype(constants["w"].dtype.numpy()))
