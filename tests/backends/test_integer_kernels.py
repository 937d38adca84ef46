"""Integer kernels against a numpy model of the operators of quantized ONNX, bit for bit, by every instruction."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import onnx
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

import graphopt
from graphopt.backends.tvm.codegen import generate
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.targets import Target, host
from graphopt.tensors import Array
from tests.qlinear import (
    GraphBuilder,
    Quantized,
    Window,
    compiled,
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
