"""Operators that take and make integers themselves, through TVM: exact to their definition."""

from __future__ import annotations

import numpy as np
import pytest

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.ir.load import load
from graphopt.targets import host
from graphopt.tensors import Array
from tests.qlinear import (
    GraphBuilder,
    Quantized,
    Window,
    compiled,
    grid,
    qlinear_conv,
    qlinear_matmul,
    quantize,
    random,
    sums_of_conv,
)

MICROSOFT = "com.microsoft"


def parameters(builder: GraphBuilder, x: Quantized) -> list[str]:
    return [builder.constant(x.scale), builder.constant(x.zero_point)]


def run(builder: GraphBuilder, dtype: object, *feeds: Quantized) -> Array:
    builder.output("y", dtype)
    return compiled(builder.model(), host(), {f"x{index}": x.numbers for index, x in enumerate(feeds)})["y"]


def inputs(builder: GraphBuilder, *values: Quantized) -> list[list[str]]:
    """Return the three operands of each of some inputs."""
    return [[builder.input(f"x{i}", x.numbers), *parameters(builder, x)] for i, x in enumerate(values)]


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(
    ("shape", "kernel", "window"),
    [
        ([2, 20, 9, 7], [24, 20, 3, 3], Window(pads=[1, 1, 0, 2], strides=[2, 1])),
        ([1, 20, 9, 7], [20, 1, 3, 3], Window(pads=[1, 1, 1, 1], group=20)),
    ],
)
def test_qlinear_conv(shape: list[int], kernel: list[int], window: Window, with_bias: bool, dtype: str) -> None:
    rng = np.random.default_rng(len(dtype))
    x = random(shape, dtype, 11, rng=rng)
    w = random(kernel, dtype, 3, 0.004, channels=0, rng=rng)
    bias = rng.integers(-3000, 3000, kernel[0]).astype(np.int32) if with_bias else None
    y = grid(sums_of_conv(x, w, window) * x.scale * w.scale.mean(), dtype, 40)
    builder = GraphBuilder()
    operands = [*inputs(builder, x)[0], builder.constant(w.numbers), *parameters(builder, w), *map(builder.constant, y)]
    operands += [] if bias is None else [builder.constant(bias)]
    builder.node("QLinearConv", *operands, result="y", **window.attributes())
    np.testing.assert_array_equal(run(builder, dtype, x), qlinear_conv(x, w, bias, y, window))


@pytest.mark.parametrize("shape", [[5, 33], [2, 3, 33], [1, 33]])
def test_qlinear_matmul(shape: list[int]) -> None:
    rng = np.random.default_rng(len(shape))
    x = random(shape, "uint8", 100, rng=rng)
    w = random([33, 21], "int8", 0, 0.004, rng=rng)
    y = grid(x.real() @ w.real(), "uint8", 130)
    builder = GraphBuilder()
    builder.node(
        "QLinearMatMul",
        *inputs(builder, x)[0],
        builder.constant(w.numbers),
        *parameters(builder, w),
        *map(builder.constant, y),
        result="y",
    )
    np.testing.assert_array_equal(run(builder, "uint8", x), qlinear_matmul(x, w, None, y))


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("quantizes", [True, False])
def test_qgemm(*, transposed: bool, quantizes: bool) -> None:
    rng = np.random.default_rng(3)
    x = random([4, 33], "uint8", 100, rng=rng)
    w = random([33, 21], "int8", 0, 0.004, channels=1, rng=rng)
    bias = rng.integers(-3000, 3000, 21).astype(np.int32)
    y = grid(x.real() @ w.real(), "uint8", 130)
    builder = GraphBuilder()
    weights = w.numbers.T if transposed else w.numbers
    operands = [*inputs(builder, x)[0], builder.constant(weights), *parameters(builder, w), builder.constant(bias)]
    operands += map(builder.constant, y) if quantizes else []
    builder.node("QGemm", *operands, result="y", domain=MICROSOFT, transB=int(transposed))
    sums = x.centred @ w.centred + bias
    if quantizes:
        np.testing.assert_array_equal(run(builder, "uint8", x), qlinear_matmul(x, w, bias, y))
    else:
        expected = sums.astype(np.float32) * (x.scale * w.scale)
        np.testing.assert_array_equal(run(builder, "float32", x), expected)


@pytest.mark.parametrize(("operator", "combine"), [("QLinearAdd", np.add), ("QLinearMul", np.multiply)])
def test_qlinear_sums_and_products(operator: str, combine: np.ufunc) -> None:
    rng = np.random.default_rng(4)
    a, b = random([1, 20, 9, 11], "uint8", 100, 0.02, rng=rng), random([1, 20, 9, 11], "uint8", 31, 0.031, rng=rng)
    y = grid(combine(a.real(), b.real()), "uint8", 60)
    builder = GraphBuilder()
    left, right = inputs(builder, a, b)
    builder.node(operator, *left, *right, *map(builder.constant, y), result="y", domain=MICROSOFT)
    np.testing.assert_array_equal(run(builder, "uint8", a, b), quantize(combine(a.real(), b.real()), *y))


def test_qlinear_concat() -> None:
    rng = np.random.default_rng(5)
    a, b = random([1, 16, 9, 11], "uint8", 100, 0.02, rng=rng), random([1, 7, 9, 11], "uint8", 31, 0.031, rng=rng)
    y = grid(a.real(), "uint8", 60)
    builder = GraphBuilder()
    parts = [operand for three in inputs(builder, a, b) for operand in three]
    builder.node("QLinearConcat", *map(builder.constant, y), *parts, result="y", domain=MICROSOFT, axis=1)
    np.testing.assert_array_equal(
        run(builder, "uint8", a, b), np.concatenate([quantize(x.real(), *y) for x in (a, b)], 1)
    )


def test_qlinear_means() -> None:
    rng = np.random.default_rng(6)
    x = random([2, 20, 7, 9], "uint8", 100, 0.02, rng=rng)
    mean = x.centred.sum((2, 3), keepdims=True).astype(np.float32) * (x.scale / np.float32(63))
    y = grid(mean, "uint8", 60)
    builder = GraphBuilder()
    builder.node(
        "QLinearGlobalAveragePool", *inputs(builder, x)[0], *map(builder.constant, y), result="y", domain=MICROSOFT
    )
    actual = run(builder, "uint8", x)
    assert abs(actual.astype(int) - quantize(mean, *y)).max() <= 1
    assert (actual == quantize(mean, *y)).mean() > 0.9


@pytest.mark.parametrize("zero_point", [0, 200])
def test_sums_of_integers(zero_point: int) -> None:
    rng = np.random.default_rng(7)
    x, w = random([1, 20, 9, 7], "uint8", zero_point, rng=rng), random([24, 20, 3, 3], "uint8", 3, rng=rng)
    window = Window(pads=[1, 1, 1, 1])
    builder = GraphBuilder()
    data = builder.input("x0", x.numbers)
    zeros = builder.constant(x.zero_point), builder.constant(w.zero_point)
    builder.node("ConvInteger", data, builder.constant(w.numbers), *zeros, result="y", **window.attributes())
    np.testing.assert_array_equal(run(builder, "int32", x), sums_of_conv(x, w, window))


def test_sums_of_rows() -> None:
    rng = np.random.default_rng(8)
    x, w = random([5, 33], "int8", 9, rng=rng), random([33, 20], "int8", -3, channels=1, rng=rng)
    builder = GraphBuilder()
    data = builder.input("x0", x.numbers)
    zeros = builder.constant(x.zero_point), builder.constant(w.zero_point)
    builder.node("MatMulInteger", data, builder.constant(w.numbers), *zeros, result="y")
    np.testing.assert_array_equal(run(builder, "int32", x), x.centred @ w.centred)


def test_what_is_no_constant_stays_with_onnxruntime() -> None:
    rng = np.random.default_rng(9)
    x, w = random([5, 33], "uint8", 9, rng=rng), random([33, 20], "uint8", 3, rng=rng)
    builder = GraphBuilder()
    left, right = inputs(builder, x, w)
    builder.node("QLinearMatMul", *left, *right, *parameters(builder, x), result="y")
    builder.output("y", "uint8")
    model = builder.model()
    feeds = {"x0": x.numbers, "x1": w.numbers}
    module = graphopt.compile(model.SerializeToString(), cache=False)
    assert "not constant" in module.report.placements[-1].reason
    expected = evaluate(load(model.SerializeToString()), feeds)["y"]
    np.testing.assert_array_equal(module(feeds)["y"], expected)
