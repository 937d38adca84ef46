"""Integer kernels against a numpy model of the operators of quantized ONNX, bit for bit, by every instruction."""

from __future__ import annotations

import itertools
from dataclasses import replace

import ml_dtypes
import numpy as np
import onnx
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import tirx

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.backends.tvm.codegen import generate
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.memory.overwrite import overwritable
from graphopt.backends.tvm.schedule.bias import begin_with_bias
from graphopt.backends.tvm.schedule.module import fuse, schedule, schedule_kernel
from graphopt.ir.load import load
from graphopt.targets import Target, host
from graphopt.tensors import Array
from tests.qlinear import (
    GraphBuilder,
    Quantized,
    Window,
    grid,
    qlinear_conv,
    qlinear_matmul,
    random,
    sums_of_conv,
)

_DOTS = {"avx512_vnni", "avx_vnni", "asimddp", "i8mm"}
_PAIRS = {"avx512bw", "avx2", "sse2"}
PLAIN = replace(host(), features=host().features - _DOTS - _PAIRS, cores=2)
"""Without an instruction for products of 8 bits."""
TARGETS = {
    "native": host(),
    **{f"portable-{bits}": replace(PLAIN, vector_bits=bits) for bits in (128, 256, 512) if bits <= host().vector_bits},
}
for bits, feature in ((128, "sse2"), (256, "avx2"), (512, "avx512bw")):
    if feature in host().features:
        TARGETS[f"pairs-{bits}"] = replace(PLAIN, features=host().features - _DOTS, vector_bits=bits)
if "avx512_vnni" in host().features:
    TARGETS["quads-256"] = replace(host(), vector_bits=256)
CONVOLUTIONS = {  # input, weights, window
    "every block full": ([1, 32, 9, 13], [48, 32, 3, 3], Window(pads=[1, 1, 1, 1])),
    "three input channels": ([2, 3, 19, 23], [18, 3, 7, 7], Window(pads=[3, 3, 3, 3], strides=[2, 2])),
    "one input channel": ([1, 1, 8, 8], [5, 1, 3, 3], Window()),
    "six input channels": ([1, 6, 8, 8], [20, 6, 3, 3], Window(pads=[1, 0, 2, 1])),
    "channels that fill no block": ([3, 37, 5, 7], [19, 37, 1, 1], Window()),
    "one tap that skips": ([1, 64, 10, 11], [48, 64, 1, 1], Window(strides=[2, 2])),
    "one tap": ([1, 64, 13, 11], [80, 64, 1, 1], Window()),
    "long sums": ([1, 600, 2, 3], [16, 600, 3, 3], Window(pads=[1, 1, 1, 1])),
    "dilations and odd pads": ([1, 20, 12, 12], [33, 20, 3, 2], Window(dilations=[2, 1], pads=[2, 0, 1, 1])),
    "two groups": ([1, 24, 6, 9], [32, 12, 3, 3], Window(group=2, pads=[1, 1, 1, 1])),
    "groups of three channels": ([1, 9, 6, 9], [15, 3, 3, 3], Window(group=3)),
    "groups that straddle blocks": ([1, 50, 7, 7], [60, 10, 1, 1], Window(group=5)),
    "many groups": ([1, 66, 5, 5], [33, 2, 3, 3], Window(group=33)),
    "depthwise": ([2, 32, 9, 13], [32, 1, 3, 3], Window(group=32, pads=[1, 1, 1, 1])),
    "depthwise that fills no block": (
        [1, 21, 9, 9],
        [21, 1, 5, 5],
        Window(group=21, pads=[2, 2, 2, 2], strides=[2, 2]),
    ),
    "depthwise with a multiplier": ([1, 20, 9, 9], [40, 1, 3, 3], Window(group=20, pads=[1, 1, 1, 1])),
    "one spatial axis": ([2, 10, 31], [12, 10, 4], Window(strides=[3], pads=[1, 2])),
    "three spatial axes": ([1, 6, 5, 6, 7], [9, 6, 2, 3, 1], Window(pads=[0, 1, 0, 1, 0, 0])),
}
ZEROS = {  # dtype and zero point of the input, the weights and the output
    "uint8, int8": (("uint8", 0), ("int8", 0), ("uint8", 0)),
    "uint8, int8, zero points": (("uint8", 131), ("int8", 0), ("uint8", 77)),
    "int8, int8": (("int8", 0), ("int8", 0), ("int8", 0)),
    "int8, int8, zero points": (("int8", -17), ("int8", 5), ("int8", -128)),
    "uint8, uint8": (("uint8", 255), ("uint8", 128), ("uint8", 1)),
    "uint8, uint8 far from the middle": (("uint8", 3), ("uint8", 255), ("int8", 3)),
    "int8, uint8": (("int8", 127), ("uint8", 0), ("uint8", 255)),
}
PRODUCTS = {  # left, right, whether right is transposed
    "one row": ([1, 64], [64, 100], False),
    "rows": ([5, 27], [27, 41], False),
    "rows of rows": ([2, 3, 17], [17, 16], False),
    "a small result": ([33, 8], [8, 3], False),
    "one product": ([7, 1], [1, 9], False),
    "transposed": ([7, 30], [30, 11], True),
}


def compiled(model: onnx.ModelProto, target: Target, feeds: dict[str, Array]) -> dict[str, Array]:
    """Run a model, and make sure that TVM runs all of it."""
    module = graphopt.compile(model.SerializeToString(), target, cache=False)
    assert {placement.executor for placement in module.report.placements} == {"tvm"}, module.report.placements
    assert not module.report.notes
    return module(feeds)


def conv(x: Quantized, w: Quantized, bias: Array | None, y: tuple[Array, Array], window: Window) -> onnx.ModelProto:
    """Return Q(Conv(DQ, DQ, DQ))."""
    builder = GraphBuilder()
    operands = [builder.dequantized(builder.input("x", x.numbers), x), builder.dequantized(w)]
    if bias is not None:
        operands.append(builder.bias(bias, x.scale * w.scale))
    builder.quantized(builder.node("Conv", *operands, **window.attributes()), y, "y")
    builder.output("y", y[1].dtype)
    return builder.model()


def check_conv(shape: list[int], kernel: list[int], window: Window, zeros: str, target: Target, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    data, weights, result = ZEROS[zeros]
    x = random(shape, *data, rng=rng)
    w = random(kernel, *weights, 0.005, channels=None if seed % 2 else 0, rng=rng)
    bias = None if seed % 3 == 2 else rng.integers(-5000, 5000, kernel[0]).astype(np.int32)
    y = grid(sums_of_conv(x, w, window) * x.scale * w.scale.mean(), *result)
    expected = qlinear_conv(x, w, bias, y, window)
    actual = compiled(conv(x, w, bias, y, window), target, {"x": x.numbers})["y"]
    np.testing.assert_array_equal(actual, expected)
    assert len(np.unique(expected)) > 8


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("zeros", ["uint8, int8, zero points", "int8, int8, zero points"])
def test_convolutions_of_every_shape(case: str, zeros: str) -> None:
    check_conv(*CONVOLUTIONS[case], zeros, host(), seed=len(case))


@pytest.mark.parametrize(("case", "zeros"), list(itertools.product(["six input channels", "depthwise"], ZEROS)))
def test_convolutions_of_every_dtype_and_zero_point(case: str, zeros: str) -> None:
    check_conv(*CONVOLUTIONS[case], zeros, host(), seed=len(zeros))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", ["every block full", "three input channels", "two groups", "depthwise", "one tap"])
def test_convolutions_by_every_instruction(case: str, target: str) -> None:
    check_conv(*CONVOLUTIONS[case], "int8, int8, zero points", TARGETS[target])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_convolutions_of_any_shape(data: st.DataObject) -> None:
    def draw(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    group = data.draw(st.sampled_from([1, 1, 1, 2, 3, 8]))
    inputs, outputs = group * draw(1, 12), group * draw(1, 12)
    kernel = [draw(1, 3), draw(1, 3)]
    dilations, strides = [draw(1, 2), draw(1, 2)], [draw(1, 3), draw(1, 2)]
    pads = [draw(0, 2) for _ in range(4)]
    space = [draw(5, 12), draw(5, 12)]
    window = Window(pads, strides, dilations, group)
    zeros = data.draw(st.sampled_from(sorted(ZEROS)))
    check_shape = [draw(1, 2), inputs, *space]
    rng = np.random.default_rng(draw(0, 1000))
    kinds = ZEROS[zeros]
    x = random(check_shape, *kinds[0], rng=rng)
    w = random([outputs, inputs // group, *kernel], *kinds[1], 0.005, channels=0, rng=rng)
    y = grid(sums_of_conv(x, w, window) * x.scale * w.scale.mean(), *kinds[2])
    target = TARGETS[data.draw(st.sampled_from(sorted(TARGETS)))]
    actual = compiled(conv(x, w, None, y, window), target, {"x": x.numbers})["y"]
    np.testing.assert_array_equal(actual, qlinear_conv(x, w, None, y, window))


@pytest.mark.parametrize(("case", "zeros"), list(zip(PRODUCTS, itertools.cycle(ZEROS), strict=False)))
@pytest.mark.parametrize("target", ["native", "portable-128"])
def test_products_of_matrices(case: str, zeros: str, target: str) -> None:
    rng = np.random.default_rng(len(case))
    left, right, transposed = PRODUCTS[case]
    data, weights, result = ZEROS[zeros]
    x = random(left, *data, rng=rng)
    w = random(right, *weights, 0.005, channels=1, rng=rng)
    is_gemm = len(left) == 2
    bias = rng.integers(-5000, 5000, right[1]).astype(np.int32) if is_gemm else None
    y = grid(x.centred @ w.centred * x.scale * w.scale.mean(), *result)
    builder = GraphBuilder()
    given_x = builder.dequantized(builder.input("x", x.numbers), x)
    turned = replace(w, numbers=w.numbers.T, axis=0) if transposed else w
    if bias is not None:
        operands = [given_x, builder.dequantized(turned), builder.bias(bias, x.scale * w.scale)]
        product = builder.node("Gemm", *operands, transB=int(transposed))
    else:
        product = builder.node("MatMul", given_x, builder.dequantized(turned))
    builder.quantized(product, y, "y")
    expected = qlinear_matmul(x, w, bias, y)
    builder.output("y", expected.dtype)
    np.testing.assert_array_equal(compiled(builder.model(), TARGETS[target], {"x": x.numbers})["y"], expected)


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


PROCESSORS = {  # mcpu, triple, features, bits of a vector, what multiplies, what does not
    "vnni": ("icelake-server", "x86_64", {"avx512f", "avx512bw", "avx512_vnni", "fma"}, 512, "vpdpbusd", "vpmadd"),
    "avx-vnni": ("alderlake", "x86_64", {"avx2", "avx_vnni", "fma"}, 256, "vpdpbusd", "vpmadd"),
    "avx512": ("skylake-avx512", "x86_64", {"avx512f", "avx512bw", "fma"}, 512, "vpmaddwd", "vpmaddubsw"),
    "avx2": ("haswell", "x86_64", {"avx2", "fma"}, 256, "vpmaddwd", "vpmaddubsw"),
    "sse2": ("core2", "x86_64", {"sse2"}, 128, "pmaddwd", "pmaddubsw"),
    "dot": ("neoverse-n1", "aarch64", {"asimd", "asimddp"}, 128, "sdot", "usdot"),
    "i8mm": ("neoverse-v1", "aarch64", {"asimd", "asimddp", "i8mm"}, 128, "usdot", "\tsdot"),
}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("case", ["every block full", "depthwise"])
def test_each_processor_multiplies_by_what_it_has(case: str, name: str) -> None:
    mcpu, machine, features, bits, found, absent = PROCESSORS[name]
    target = replace(host(), features=frozenset(features), vector_bits=bits)
    rng = np.random.default_rng(0)
    shape, kernel, window = CONVOLUTIONS[case]
    x, w = random(shape, "uint8", 3, rng=rng), random(kernel, "int8", 0, channels=0, rng=rng)
    graph = graphopt.optimize(conv(x, w, None, grid(x.real(), "uint8", 3), window).SerializeToString()).model.graph
    module = schedule(lower(list(graph), graph.inputs, graph.outputs, target), target)
    code = {
        variable: function.with_attr("global_symbol", variable.name_hint)
        for variable, function in module.functions.items()
        if "integer" in variable.name_hint
    }
    triple = {"kind": "llvm", "mcpu": mcpu, "mtriple": f"{machine}-linux-gnu"}
    text = generate(code, tvm.target.Target(triple)).inspect_source("asm")
    assert "graphopt_sum" not in text
    if case == "every block full" or target.int8_dot:
        assert found in text
    assert absent not in text


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
