"""Graphs of integers beside kernels of sums: what moves, adds and maps them, and other forms of Q and DQ."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import onnx
import pytest
from tvm import tirx

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.memory.overwrite import overwritable
from graphopt.backends.tvm.schedule.bias import begin_with_bias
from graphopt.backends.tvm.schedule.module import fuse, schedule_kernel
from graphopt.ir.load import load
from graphopt.targets import host
from graphopt.tensors import Array
from tests.backends.test_integer_kernels import CONVOLUTIONS, TARGETS
from tests.qlinear import (
    GraphBuilder,
    Quantized,
    compiled,
    grid,
    random,
)


def reference(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """Return what onnxruntime answers without a change to the model."""
    return evaluate(load(model.SerializeToString()), feeds)


def kernels(model: onnx.ModelProto) -> list[tirx.PrimFunc]:
    """Return the kernels of a model before they are scheduled."""
    graph = graphopt.optimize(model.SerializeToString(), "infer-shapes").model
    fused = fuse(lower(list(graph.graph), graph.graph.inputs, graph.graph.outputs, host()), host())
    return [function for function in fused.functions.values() if isinstance(function, tirx.PrimFunc)]


def dtypes(model: onnx.ModelProto) -> set[str]:
    """Return the dtypes of what kernels read and write."""
    return {str(parameter.ty.dtype) for kernel in kernels(model) for parameter in kernel.params}


MOVES = {  # nodes on x1, and on x2 of the same shape
    "MaxPool": lambda b, x, _: b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0]),
    "Concat": lambda b, x, y: b.node("Concat", x, y, axis=1),
    "Concat along rows": lambda b, x, y: b.node("Concat", x, y, axis=2),
    "Reshape": lambda b, x, _: b.node("Reshape", x, b.constant(np.array([0, -1], np.int64))),
    "Flatten": lambda b, x, _: b.node("Flatten", x),
    "Transpose": lambda b, x, _: b.node("Transpose", x, perm=[0, 2, 3, 1]),
    "Slice": lambda b, x, _: b.node("Slice", x, *(b.constant(np.array([n], np.int64)) for n in (1, 5, 2, 2))),
    "Gather": lambda b, x, _: b.node("Gather", x, b.constant(np.array([3, -1], np.int64)), axis=1),
    "Pad": lambda b, x, _: b.node("Pad", x, b.constant(np.array([0, 0, 1, 2, 0, 1, 0, 1], np.int64))),
    "Pad by reflection": lambda b, x, _: b.node(
        "Pad", x, b.constant(np.array([0, 0, 1, 2, 0, 0, 0, 1], np.int64)), mode="reflect"
    ),
    "Resize": lambda b, x, _: b.node(
        "Resize", x, "", b.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest", nearest_mode="floor"
    ),
    "DepthToSpace": lambda b, x, _: b.node("DepthToSpace", x, blocksize=2),
}


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("case", MOVES)
def test_what_moves_elements_moves_integers(case: str, dtype: str) -> None:
    rng = np.random.default_rng(len(case))
    x1, x2 = (random([1, 20, 7, 9], dtype, 5, rng=rng) for _ in range(2))
    builder = GraphBuilder()
    values = [builder.dequantized(builder.input(name, x.numbers), x1) for name, x in (("x1", x1), ("x2", x2))]
    result = MOVES[case](builder, *values)
    builder.quantized(result, (x1.scale, x1.zero_point), "y")
    builder.output("y", dtype)
    model = builder.model()
    feeds = {"x1": x1.numbers, "x2": x2.numbers}
    np.testing.assert_array_equal(compiled(model, host(), feeds)["y"], reference(model, feeds)["y"])
    assert "float32" not in dtypes(model)


MEANS = {
    "GlobalAveragePool": {},
    "AveragePool": {"kernel_shape": [3, 2], "strides": [2, 1]},
    "AveragePool over padding": {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    "AveragePool beside padding": {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
    "AveragePool beyond the end": {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1},
}


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("case", MEANS)
def test_means_are_off_by_the_rounding_of_ties_alone(case: str, dtype: str) -> None:
    rng = np.random.default_rng(len(case))
    x = random([2, 20, 7, 9], dtype, -3 if dtype == "int8" else 77, rng=rng)
    builder = GraphBuilder()
    value = builder.dequantized(builder.input("x", x.numbers), x)
    pooled = builder.node(case.split(maxsplit=1)[0], value, **MEANS[case])
    builder.quantized(pooled, grid(x.real().mean((2, 3)), dtype, 9), "y")
    builder.output("y", dtype)
    model = builder.model()
    actual, expected = compiled(model, host(), {"x": x.numbers})["y"], reference(model, {"x": x.numbers})["y"]
    assert abs(actual.astype(int) - expected).max() <= 1
    assert (actual != expected).mean() < 0.01


ELEMENTWISE = {
    "Add": lambda b, x, y: b.node("Add", x, y),
    "Sub": lambda b, x, y: b.node("Sub", x, y),
    "Mul": lambda b, x, y: b.node("Mul", x, y),
    "Add, Relu": lambda b, x, y: b.node("Relu", b.node("Add", x, y)),
    "Add of a constant": lambda b, x, _: b.node("Add", x, b.constant(np.arange(-1, 1, 0.1, "f").reshape(20, 1, 1))),
    "Clip": lambda b, x, _: b.node("Clip", x, b.constant(np.float32(-0.3)), b.constant(np.float32(1.1))),
    "Relu": lambda b, x, _: b.node("Relu", x),
    "nothing": lambda _, x, __: x,
    "Concat of different scales": lambda b, x, y: b.node("Concat", x, y, axis=1),
}


@pytest.mark.parametrize("target", ["native", "portable-128"])
@pytest.mark.parametrize("case", ELEMENTWISE)
def test_elementwise_arithmetic_is_exact(case: str, target: str) -> None:
    rng = np.random.default_rng(len(case))
    x1 = random([1, 20, 17, 19], "uint8", 100, 0.0173, rng=rng)
    x2 = random([1, 20, 17, 19], "int8", -20, 0.0291, rng=rng)
    builder = GraphBuilder()
    values = [builder.dequantized(builder.input(name, x.numbers), x) for name, x in (("x1", x1), ("x2", x2))]
    builder.quantized(ELEMENTWISE[case](builder, *values), (np.float32(0.0377), np.uint8(101)), "y")
    builder.output("y", "uint8")
    model = builder.model()
    feeds = {"x1": x1.numbers, "x2": x2.numbers}
    np.testing.assert_array_equal(compiled(model, TARGETS[target], feeds)["y"], reference(model, feeds)["y"])


def _weights_only(b: GraphBuilder, x: str, rng: np.random.Generator) -> str:
    return b.node("Conv", x, b.dequantized(random([24, 20, 3, 3], "int8", 0, 0.01, channels=0, rng=rng)))


def _float_bias(b: GraphBuilder, x: str, rng: np.random.Generator) -> str:
    q = b.quantized(x, (np.float32(0.03), np.uint8(128)))
    real = b.node("DequantizeLinear", q, b.constant(np.float32(0.03)), b.constant(np.uint8(128)))
    weights = b.dequantized(random([24, 20, 3, 3], "int8", 0, 0.01, channels=0, rng=rng))
    return b.node("Conv", real, weights, b.constant(rng.standard_normal(24).astype(np.float32)))


def _blocked_weights(b: GraphBuilder, x: str, rng: np.random.Generator) -> str:
    flat = b.node("Flatten", x)
    numbers = b.constant(rng.integers(-8, 8, (1260, 12)).astype(ml_dtypes.int4))
    scale = b.constant(rng.uniform(0.01, 0.02, (63, 12)).astype(np.float32))
    return b.node("MatMul", flat, b.node("DequantizeLinear", numbers, scale, axis=0, block_size=20))


def _scale_a_channel(b: GraphBuilder, x: str, rng: np.random.Generator) -> str:
    scale, zero = b.constant(rng.uniform(0.01, 0.03, 20).astype(np.float32)), b.constant(np.full(20, 7, np.int8))
    q = b.node("QuantizeLinear", x, scale, zero, axis=1)
    return b.node("Sigmoid", b.node("DequantizeLinear", q, scale, zero, axis=1))


def _sixteen_bits(b: GraphBuilder, x: str, _: np.random.Generator) -> str:
    scale, zero = b.constant(np.float32(0.0003)), b.constant(np.uint16(30000))
    pooled = b.node(
        "MaxPool",
        b.node("DequantizeLinear", b.node("QuantizeLinear", x, scale, zero), scale, zero),
        kernel_shape=[2, 2],
    )
    return b.node("Neg", pooled)


def _raw_integers(b: GraphBuilder, x: str, _: np.random.Generator) -> str:
    q = b.quantized(x, (np.float32(0.03), np.int8(4)))
    return b.node("Cast", b.node("Abs", q), to=onnx.TensorProto.FLOAT)


def _scale_of_a_run(b: GraphBuilder, x: str, _: np.random.Generator) -> str:
    scale = b.node("ReduceMax", b.node("Abs", x), keepdims=0)
    q = b.node("QuantizeLinear", x, scale, b.constant(np.int8(0)))
    return b.node("DequantizeLinear", q, scale, b.constant(np.int8(0)))


def _negative_scale(b: GraphBuilder, x: str, _: np.random.Generator) -> str:
    q = b.quantized(x, (np.float32(0.03), np.uint8(128)))
    real = b.node("DequantizeLinear", q, b.constant(np.float32(-0.03)), b.constant(np.uint8(128)))
    return b.node("MaxPool", real, kernel_shape=[2, 2])


def _read_twice(b: GraphBuilder, x: str, rng: np.random.Generator) -> str:
    y = (np.float32(0.03), np.int8(-3))
    real = b.node("DequantizeLinear", b.quantized(x, y), *map(b.constant, y))
    weights = b.dequantized(random([20, 20, 1, 1], "int8", 0, 0.01, channels=0, rng=rng))
    sums = b.node("Conv", real, weights)
    return b.node("Add", b.node("Softmax", sums, axis=1), b.node("Mul", real, sums))


FORMS = {
    "weights alone": _weights_only,
    "a bias of float32": _float_bias,
    "weights in blocks": _blocked_weights,
    "a scale for each channel": _scale_a_channel,
    "16 bits": _sixteen_bits,
    "integers read as such": _raw_integers,
    "a scale that a run knows": _scale_of_a_run,
    "a negative scale": _negative_scale,
    "sums that are read twice": _read_twice,
}


@pytest.mark.parametrize("case", FORMS)
def test_other_forms_of_quantized_graphs_are_right(case: str) -> None:
    rng = np.random.default_rng(len(case))
    builder, x = GraphBuilder(), rng.standard_normal((1, 20, 7, 9)).astype(np.float32)
    result = FORMS[case](builder, builder.input("x", x), rng)
    builder.node("Identity", result, result="y")
    builder.output("y", np.float32)
    model = builder.model()
    module = graphopt.compile(model.SerializeToString(), cache=False)
    assert not module.report.notes
    actual, expected = module({"x": x})["y"], reference(model, {"x": x})["y"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-6 * abs(expected).max())


FUNCTIONS = {
    "Sigmoid": {},
    "Tanh": {},
    "HardSwish": {},
    "LeakyRelu": {"alpha": 0.1},
    "Gelu": {},
    "Softplus": {},
    "Exp": {},
}


@pytest.mark.parametrize(("operator", "dtype"), list(zip(FUNCTIONS, itertools.cycle(["uint8", "int8"]), strict=False)))
def test_functions_of_one_byte_are_looked_up(operator: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.permutation(np.arange(20 * 256).astype(dtype)).reshape(1, 20, 16, 16)
    x = Quantized(numbers, np.asarray(0.037, np.float32), np.asarray(101, dtype))
    builder = GraphBuilder()
    result = builder.node(operator, builder.dequantized(builder.input("x", numbers), x), **FUNCTIONS[operator])
    builder.quantized(result, (np.float32(0.0211), np.asarray(30, dtype)), "y")
    builder.output("y", dtype)
    model = builder.model()
    np.testing.assert_array_equal(compiled(model, host(), {"x": numbers})["y"], reference(model, {"x": numbers})["y"])
    assert "float32" not in dtypes(model)


def test_functions_of_functions_are_looked_up() -> None:
    x = random([1, 20, 16, 16], "uint8", 100, rng=np.random.default_rng(0))
    builder = GraphBuilder()
    real = builder.node("Relu", builder.dequantized(builder.input("x", x.numbers), x))
    root = builder.node("Sqrt", builder.node("Mul", real, builder.constant(np.float32(1.7))))
    builder.quantized(root, (np.float32(0.01), np.uint8(3)), "y")
    builder.output("y", "uint8")
    model = builder.model()
    feeds = {"x": x.numbers}
    np.testing.assert_array_equal(compiled(model, host(), feeds)["y"], reference(model, feeds)["y"])
    assert "float32" not in dtypes(model)


def test_a_residual_sum_lies_where_its_other_branch_did() -> None:
    rng = np.random.default_rng(0)
    x, w = random([1, 64, 56, 56], "uint8", 3, rng=rng), random([64, 64, 1, 1], "int8", 0, channels=0, rng=rng)
    y = np.float32(0.3), np.uint8(99)
    builder = GraphBuilder()
    real = builder.dequantized(builder.input("x", x.numbers), x)
    branch = builder.node("DequantizeLinear", builder.quantized(real, y), *map(builder.constant, y))
    sums = builder.node("Conv", branch, builder.dequantized(w))
    builder.quantized(builder.node("Relu", builder.node("Add", sums, branch)), y, "y")
    builder.output("y", "uint8")
    model = builder.model()
    (summing,) = [function for function in kernels(model) if "graphopt.kernel" in str(function)]
    assert overwritable(schedule_kernel(summing, host()))
    feeds = {"x": x.numbers}
    assert abs(compiled(model, host(), feeds)["y"].astype(int) - reference(model, feeds)["y"]).max() <= 1


@pytest.mark.parametrize(("quantizes", "begins"), [(True, True), (False, False)], ids=["integers", "floats"])
def test_sums_of_integers_begin_with_their_bias(*, quantizes: bool, begins: bool) -> None:
    rng = np.random.default_rng(0)
    shape, kernel, _ = CONVOLUTIONS["one tap"]
    x, w = random(shape, "uint8", 3, rng=rng), random(kernel, "int8", 0, channels=0, rng=rng)
    builder = GraphBuilder()
    data = builder.input("x", x.numbers if quantizes else x.real())
    operands = [builder.dequantized(data, x) if quantizes else data, builder.dequantized(w)]
    bias = rng.integers(-500, 500, kernel[0]).astype(np.int32)
    builder.node("Conv", *operands, builder.bias(bias, x.scale * w.scale), result="y")
    builder.output("y", "float32")
    (summing,) = [function for function in kernels(builder.model()) if "graphopt.kernel" in str(function)]
    assert "T_add" in str(summing)
    assert (str(begin_with_bias(summing)) != str(summing)) == begins
