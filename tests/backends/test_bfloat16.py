"""Products in bfloat16: right by a bound that only float32 sums of rounded factors keep, and one instruction natively.

This machine may lack the instruction. Kernels then run with the sums of `schedule.dots` from float32, all else being
the same, and the native ones are compiled and their assembly is read.
"""

from __future__ import annotations

import itertools
import math
import platform
from collections.abc import Callable
from dataclasses import replace

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
import tvm
from tvm import te, tirx

import graphopt
from graphopt.backends.tvm.bfloat16 import STORED, round_array, rounded, widened
from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.lower.algorithm import choose_winograd
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.lower.rounding import round_weights
from graphopt.backends.tvm.lower.window import Window
from graphopt.backends.tvm.lower.winograd_cost import Winograd
from graphopt.backends.tvm.schedule.module import schedule, schedule_kernel
from graphopt.compiler.kernels import kernels_of
from graphopt.ir.text.parser import parse_model
from graphopt.targets import Precision, Target, host
from graphopt.tensors import Array
from models.digits import MODEL, TEST

FEATURES = host().features - {"avx512_bf16"}
"""Without the instruction, which no text of a target can say."""
PORTABLE = replace(host(), precision=Precision.BF16, features=FEATURES, cores=2, winograd=False)
ROUNDING = 2.0**-24
"""Of one operation in float32, relative."""
VECTORS = [128, 256, 512]
CONVOLUTIONS = [  # input, weights, attributes
    ([1, 16, 9, 13], [24, 16, 3, 3], "<pads = [1,1,1,1]>"),
    ([2, 3, 19, 23], [18, 3, 7, 7], "<pads = [3,3,3,3], strides = [2,2]>"),
    ([1, 1, 8, 8], [5, 1, 3, 3], ""),
    ([3, 37, 5, 7], [19, 37, 1, 1], ""),
    ([1, 64, 10, 11], [48, 64, 1, 1], "<strides = [2,2]>"),
    ([1, 600, 2, 3], [16, 600, 3, 3], "<pads = [1,1,1,1]>"),
    ([1, 20, 12, 12], [33, 20, 3, 2], "<dilations = [2,1], pads = [2,0,1,1]>"),
    ([1, 24, 6, 9], [32, 12, 3, 3], "<group = 2>"),
    ([1, 9, 6, 9], [15, 3, 3, 3], "<group = 3>"),
    ([1, 40, 6, 9], [40, 5, 1, 1], "<group = 8>"),
    ([1, 66, 5, 5], [33, 2, 3, 3], "<group = 33>"),
    ([2, 10, 31], [12, 10, 4], "<strides = [3]>"),
    ([1, 6, 5, 6, 7], [9, 6, 2, 3, 1], ""),
]
PRODUCTS = [  # left, right, operator
    ([1, 64], [64, 100], "MatMul"),
    ([5, 27], [27, 41], "MatMul"),
    ([2, 3, 17], [17, 16], "MatMul"),
    ([33, 8], [8, 3], "Gemm"),
    ([7, 1], [1, 9], "Gemm"),
    ([7, 30], [11, 30], "Gemm <transB = 1>"),
]


def compiled(model: ir.Model, target: Target) -> Callable[..., dict[str, Array]]:
    """Compile, and make sure that TVM runs all of it."""
    module = graphopt.compile(model, target, cache=False)
    assert {placement.executor for placement in module.report.placements} == {"tvm"}
    assert not module.report.notes
    return module


def normal(shape: list[int], seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def as_bfloat16(array: Array) -> Array:
    return array.astype(ml_dtypes.bfloat16).astype(np.float64)


def convolution(data: Array, weights: Array, node: ir.Node) -> Array:
    """Convolve in the precision of the arguments, a tap after the other."""
    rank, groups = data.ndim - 2, node.attributes.get_int("group", 1)
    pads = node.attributes.get_ints("pads", [0] * (2 * rank))
    strides, dilations = (node.attributes.get_ints(name, [1] * rank) for name in ("strides", "dilations"))
    padded = np.pad(data, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    total: Array | float = 0.0
    for taps in itertools.product(*map(range, weights.shape[2:])):
        cut = tuple(
            slice(tap * dilation, padded.shape[axis + 2] - (weights.shape[axis + 2] - 1 - tap) * dilation, stride)
            for axis, (tap, dilation, stride) in enumerate(zip(taps, dilations, strides, strict=True))
        )
        seen = padded[(..., *cut)]
        parts = np.split(seen, groups, axis=1), np.split(weights[(..., *taps)], groups)
        total += np.concatenate(
            [np.einsum("nc...,oc->no...", part, factor) for part, factor in zip(*parts, strict=True)], axis=1
        )
    return np.asarray(total)


def bound(magnitudes: Array, terms: int) -> Array:
    """Return how far a sum in float32 is from the exact one at most, in any order, but for a chance of 1 in 1,000.

    Source: N. J. Higham and T. Mary, "A new approach to probabilistic rounding error analysis", SIAM Journal on
    Scientific Computing 41(5), 2019: λ √n u Σ |a b| with λ = 4.
    """
    return 4 * np.sqrt(terms) * ROUNDING * magnitudes


def compiled_convolution(
    shape: list[int], kernel: list[int], attributes: str, target: Target
) -> tuple[Array, Array, Array]:
    """Return the answer, the exact one for rounded factors, and how far these may be apart."""
    dims = ",".join("NMHWD"[: len(shape)])
    model = parse_model(f"g (float{shape} x) => (float[{dims}] y) <float{kernel} w> {{ y = Conv {attributes} (x, w) }}")
    x, w = normal(shape, 0), weights_of(model)
    (node,) = model.graph
    factors = as_bfloat16(x), round_weights(w).astype(np.float64)
    exact, magnitudes = convolution(*factors, node), convolution(*map(np.abs, factors), node)
    return compiled(model, target)(x)["y"], exact, bound(magnitudes, math.prod(kernel[1:]))


@pytest.mark.parametrize(("case", "bits"), list(zip(CONVOLUTIONS, itertools.cycle(VECTORS), strict=False)))
def test_a_convolution_sums_rounded_factors_in_float32(case: tuple[list[int], list[int], str], bits: int) -> None:
    actual, exact, allowed = compiled_convolution(*case, replace(PORTABLE, vector_bits=bits))
    assert actual.shape == exact.shape
    assert (abs(actual - exact) <= allowed).all()


def test_without_rounding_the_answer_is_another() -> None:
    actual, exact, allowed = compiled_convolution(*CONVOLUTIONS[0], replace(PORTABLE, precision=Precision.FP32))
    assert (abs(actual - exact) > allowed).mean() > 0.9


@pytest.mark.parametrize(("case", "bits"), list(zip(PRODUCTS, itertools.cycle(VECTORS), strict=False)))
def test_a_matrix_product_sums_rounded_factors_in_float32(case: tuple[list[int], list[int], str], bits: int) -> None:
    left, right, operator = case
    dims = ",".join("NMK"[: len(left)])
    model = parse_model(f"g (float{left} x) => (float[{dims}] y) <float{right} w> {{ y = {operator} (x, w) }}")
    x, w = as_bfloat16(normal(left, 0)), weights_of(model)
    columns = round_weights(w if "transB" in operator else w.T).T.astype(np.float64)
    actual = compiled(model, replace(PORTABLE, vector_bits=bits))(normal(left, 0))["y"]
    assert actual.shape == (x @ columns).shape
    assert (abs(actual - x @ columns) <= bound(abs(x) @ abs(columns), left[-1])).all()


def weights_of(model: ir.Model) -> Array:
    (weights,) = model.graph.initializers.values()
    assert weights.const_value is not None
    return weights.const_value.numpy()


def test_numbers_are_rounded_to_nearest_with_ties_to_even() -> None:
    random = np.random.default_rng(0).integers(0, 1 << 32, 1 << 16, dtype=np.uint32)
    ties = (np.arange(1 << 16, dtype=np.uint32) << 16) | 0x8000
    every = np.concatenate([random, ties - 1, ties, ties + 1]).view(np.float32)
    source = te.placeholder(every.shape, "float32")
    result = te.compute(every.shape, lambda i: rounded(source(i)))
    actual = run(te.create_prim_func([source, result]), every, np.uint16).view(ml_dtypes.bfloat16)
    is_number = ~np.isnan(every)
    np.testing.assert_array_equal(np.isnan(actual), ~is_number)
    np.testing.assert_array_equal(actual[is_number], every[is_number].astype(ml_dtypes.bfloat16))


def test_stored_numbers_are_read_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    source = te.placeholder(every.shape, "uint16")
    result = te.compute(every.shape, lambda i: widened(source(i)))
    actual = run(te.create_prim_func([source, result]), every, np.float32)
    np.testing.assert_array_equal(actual, every.view(ml_dtypes.bfloat16).astype(np.float32))
    np.testing.assert_array_equal(round_array(actual[np.isfinite(actual)]), every[np.isfinite(actual)])


def run(function: tirx.PrimFunc, array: Array, dtype: type[np.generic]) -> Array:
    library = tvm.compile(schedule_kernel(function, PORTABLE), target=tvm_target(PORTABLE))
    output = tvm.runtime.tensor(np.empty(array.shape, dtype))
    library(tvm.runtime.tensor(array), output)
    return np.asarray(output.numpy())


def lowered(text: str, target: Target = PORTABLE) -> tvm.IRModule:
    model = graphopt.optimize(parse_model(text), "infer-shapes").model
    graph = model.graph
    return schedule(lower(list(graph), graph.inputs, graph.outputs, target, kernels_of(model, target)), target)


def written(module: tvm.IRModule) -> list[str]:
    """Return the dtypes that convolutions write, sorted."""
    functions = {name.name_hint: function for name, function in module.functions.items()}
    return sorted(str(functions[name].params[-1].ty.dtype) for name in functions if "rounded_conv" in name)


@pytest.mark.parametrize(
    ("outputs", "last", "expected"),
    [
        ("float[1,32,6,6] y", "y = Conv (r, w)", ["float32", STORED]),
        ("float[1,32,6,6] y", "d = Conv (r, w)  y = Add (d, r)", ["float32", STORED]),
        ("float[1,32,6,6] y, float[1,32,6,6] r", "y = Conv (r, w)", ["float32", "float32"]),
    ],
    ids=["only a product", "a sum too", "the caller"],
)
def test_what_a_product_reads_is_stored_rounded(outputs: str, last: str, expected: list[str]) -> None:
    text = f"""
    g (float[1,32,6,6] x) => ({outputs}) <float[32,32,1,1] v, float[32,32,1,1] w>
    {{ c = Conv (x, v)  r = Relu (c)  {last} }}
    """
    assert written(lowered(text)) == expected
    model = parse_model(text)
    x = normal([1, 32, 6, 6], 0)
    v, w = (value.const_value.numpy() for value in model.graph.initializers.values() if value.const_value is not None)
    relu = np.maximum(np.einsum("nchw,oc->nohw", as_bfloat16(x), round_weights(v)[..., 0, 0]), 0)
    product = np.einsum("nchw,oc->nohw", as_bfloat16(relu), round_weights(w)[..., 0, 0])
    found = compiled(model, PORTABLE)(x)
    added = ("Add" in last) * relu
    one_rounding = 2.0**-8 * (added + np.einsum("nchw,oc->nohw", relu, abs(w[..., 0, 0])))  # of a sum between numbers
    assert (abs(found["y"] - product - added) <= one_rounding).all()


def test_channels_that_stand_elsewhere_are_found() -> None:
    text = """
    g (float[1,42,6,6] x) => (float[1,30,6,6] y)
    <float[60,42,1,1] u, float[21,31,3,3] v, float[30,50,1,1] w, int64[2] parts = {31, 29}>
    { a = Conv (x, u)  b, c = Split <axis = 1> (a, parts)  d = Conv <pads = [1,1,1,1]> (b, v)  r = Relu (d)
      e = Concat <axis = 1> (c, r)  y = Conv (e, w) }
    """
    model = parse_model(text)
    x = normal([1, 42, 6, 6], 0)
    actual = compiled(model, replace(PORTABLE, winograd=False))(x)["y"]
    expected = graphopt.compile(model, "onnxruntime", cache=False)(x)["y"]
    assert 1e-4 * abs(expected).max() < abs(actual - expected).max() < 2e-2 * abs(expected).max()


def test_other_operators_stay_as_they_are() -> None:
    text = """
    g (float[1,32,6,6] x, float[6,6] z) => (float[1,32,6,6] y) <float[32,1,3,3] v, double[6,6] w, float[32,32,3,3] u>
    { d = Conv <group = 32, pads = [1,1,1,1]> (x, v)  m = MatMul (d, z)  t = ConvTranspose <pads = [1,1,1,1]> (m, u)
      e = Cast <to = 11> (t)  f = MatMul (e, w)  y = Cast <to = 1> (f) }
    """
    model = parse_model(text)
    feeds = {"x": normal([1, 32, 6, 6], 0), "z": normal([6, 6], 1)}
    single = replace(PORTABLE, precision=Precision.FP32)
    np.testing.assert_array_equal(compiled(model, PORTABLE)(feeds)["y"], compiled(model, single)(feeds)["y"])


def test_winograd_has_to_be_faster_than_products_in_half_the_time() -> None:
    window = Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    rounding = replace(PORTABLE, vector_bits=512, features=FEATURES | {"sse4a"}, winograd=True)
    single = replace(rounding, precision=Precision.FP32)
    for channels, size, chosen in ((512, 7, None), (64, 56, Winograd(4, late=False))):
        problem = window, (channels, channels), (1, channels, size, size)
        assert choose_winograd(*problem, single) is not None
        assert choose_winograd(*problem, rounding) == chosen


@pytest.mark.skipif(platform.machine() != "x86_64", reason="an instruction of x86")
@pytest.mark.parametrize("mcpu", ["cooperlake", "sapphirerapids", "znver4"])
@pytest.mark.parametrize(
    "text",
    [
        "g (float[1,3,20,20] x) => (float[1,32,9,9] y) <float[32,3,3,3] w> { y = Conv <strides = [2,2]> (x, w) }",
        "g (float[1,64,6,6] x) => (float[1,32,6,6] y) <float[32,64,1,1] w> { y = Conv (x, w) }",
        "g (float[4,64] x) => (float[4,40] y) <float[64,40] w> { y = MatMul (x, w) }",
    ],
    ids=["convolution", "pointwise", "product"],
)
def test_the_processor_has_one_instruction_for_it(text: str, mcpu: str) -> None:
    features = host().features | {"avx512f", "avx512_bf16"}
    target = replace(host(), mcpu=mcpu, features=features, vector_bits=512, precision=Precision.BF16)
    instructions = assembly(lowered(text, target), target)
    assert "vdpbf16ps" in instructions
    assert "vfmadd" not in instructions
    assert "graphopt_sum_pairs" not in instructions
    assert "vdpbf16ps" not in assembly(lowered(text, replace(target, precision=Precision.FP32)), target)


def assembly(module: tvm.IRModule, target: Target) -> str:
    """Compile the kernels of a module and return them as text."""
    kernels = {
        name: function.with_attr("global_symbol", name.name_hint)
        for name, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    library = tvm.tirx.build(tvm.IRModule(kernels), target=tvm_target(target))
    return str(library.inspect_source("asm"))


def test_a_trained_network_reads_the_same_digits() -> None:
    with np.load(TEST) as test:
        images, labels = test["images"].astype(np.float32), test["labels"]
    shapes = {"image": list(images.shape)}
    rounding, single = (
        graphopt.compile(MODEL, target, shapes=shapes, cache=False)(images)["logits"]
        for target in (PORTABLE, "onnxruntime")
    )
    assert (rounding != single).any()
    assert abs(rounding - single).max() <= 0.03 * abs(single).max()
    assert (rounding.argmax(1) == labels).sum() >= (single.argmax(1) == labels).sum() - 0.002 * len(labels)
