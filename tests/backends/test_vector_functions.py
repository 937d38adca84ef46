"""Elementary functions in native code: how exact they are, what they make of extremes, and that they are vectors."""

from __future__ import annotations

import dataclasses
import platform
import re

import numpy as np
import pytest
import tvm
from tvm import tirx

import graphopt
from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.backends.tvm.vectormath.expand import FORMULAS, expand_functions
from graphopt.errors import TargetError
from graphopt.ir.text.parser import parse_model
from graphopt.targets import Target, host, parse_target
from tests.vector_functions import BOUNDS, exact, library, run, ulps

FLOAT = np.finfo(np.float32)
CHUNK, CHUNKS = 1 << 17, 16
"""Every 2048th float32, less a prime, is looked at."""
THRESHOLDS = [
    *(0.0, FLOAT.smallest_subnormal, 1e-40, FLOAT.smallest_normal, 1e-8, 2.0**-12, 0.5, 0.70710677, 1.0, 1.4142135),
    *(2.0, 3.92, 3.95, 9.01, 9.25, 18.5, 87.33, 88.37, 88.7228, 89.0, 89.4159, 89.5, 103.97, 104.0, 176.0, 254.0),
    *(1e10, 2.0**127, 2.4e38, FLOAT.max, np.inf, np.nan),
]
C_LIBRARY = re.compile(r"\s(?:call|jmp)\w*\s+(?:exp|tanh|erf|log|log1p|sinh|cosh|atanh)f?\b")
MODELS = {
    "Sigmoid alone": "g (float[40,1000] x) => (float[40,1000] y) { y = Sigmoid (x) }",
    "Softmax": "g (float[40,1000] x) => (float[40,1000] y) { y = Softmax (x) }",
    "SiLU after a convolution": """
        g (float[1,64,20,20] x) => (float[1,64,20,20] y) <float[64,64,1,1] w, float[64] b>
        { c = Conv (x, w, b)  s = Sigmoid (c)  y = Mul (c, s) }""",
    "Gelu after a depthwise convolution": """
        g (float[1,64,20,20] x) => (float[1,64,20,20] y) <float[64,1,3,3] w, float[64] b>
        { c = Conv <group = 64, pads = [1,1,1,1]> (x, w, b)  y = Gelu (c) }""",
    "Tanh after Winograd's convolution": """
        g (float[1,64,56,56] x) => (float[1,64,56,56] y) <float[64,64,3,3] w>
        { c = Conv <pads = [1,1,1,1]> (x, w)  y = Tanh (c) }""",
    "Gelu after a Gemm": """
        g (float[40,256] x) => (float[40,256] y) <float[256,256] w, float[256] b>
        { c = Gemm (x, w, b)  y = Gelu (c) }""",
}


@pytest.fixture(scope="module", params=["cpu{cores=1}", "cpu{mcpu=x86-64 cores=1}"], ids=["host", "no fma"])
def target(request: pytest.FixtureRequest) -> Target:
    try:
        return parse_target(request.param)
    except TargetError as error:
        pytest.skip(str(error))


def haswell() -> Target:
    if platform.machine() != "x86_64":
        pytest.skip("looks at code of x86")
    return dataclasses.replace(host(), mcpu="haswell", vector_bits=256, cores=1)


def neighbours(number: float) -> list[float]:
    x = np.float32(number)
    return [np.nextafter(x, np.float32(-np.inf)), x, np.nextafter(x, np.float32(np.inf))]


def assembly(kernel: tirx.PrimFunc, target: Target) -> str:
    module = tvm.IRModule({"main": expand_functions(kernel).with_attr("global_symbol", "main")})
    code: str = tvm.tirx.build(module, tvm_target(target)).inspect_source("asm")
    return code


def kernels(text: str, target: Target) -> dict[str, tirx.PrimFunc]:
    graph = graphopt.optimize(parse_model(text, opset=20), "infer-shapes").model.graph
    module = schedule(lower(list(graph), graph.inputs, graph.outputs, target), target)
    return {name.name_hint: each for name, each in module.functions.items() if isinstance(each, tirx.PrimFunc)}


def test_every_formula_has_a_bound() -> None:
    assert {name.removeprefix("tirx.") for name in FORMULAS} == set(BOUNDS)


@pytest.mark.parametrize("name", BOUNDS)
def test_errs_by_no_more_than_it_says(name: str, target: Target) -> None:
    compiled = library(name, CHUNK, target)
    bits = (np.arange(CHUNK * CHUNKS, dtype=np.uint64) * 2039).astype(np.uint32).reshape(CHUNKS, CHUNK)
    worst = max(float(ulps(run(compiled, x), exact(name, x)).max()) for x in bits.view(np.float32))
    assert worst <= BOUNDS[name]


@pytest.mark.parametrize("name", BOUNDS)
def test_extremes_come_out_as_in_double_precision(name: str, target: Target) -> None:
    with np.errstate(over="ignore"):
        positive = [number for threshold in THRESHOLDS for number in neighbours(threshold)]
    x = np.array([*positive, *(-number for number in positive)], np.float32)
    actual, expected = run(library(name, len(x), target), x), exact(name, x)
    assert ulps(actual, expected).max() <= BOUNDS[name]
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(actual[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("name", ["erf", "tanh", "sigmoid"])
def test_stays_within_its_range(name: str) -> None:
    x = np.linspace(0, 20, CHUNK, dtype=np.float32)
    assert run(library(name, CHUNK, parse_target("cpu{cores=1}")), x).max() == 1


@pytest.mark.parametrize("name", BOUNDS)
def test_half_precision_is_rounded_once(name: str) -> None:
    x = np.linspace(-0.9, 10, 4096).astype(np.float16)
    target = parse_target("cpu{cores=1}")
    actual = run(library(name, len(x), target, "float16"), x)
    widened = run(library(name, len(x), target), x.astype(np.float32))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(actual, widened.astype(np.float16))


@pytest.mark.parametrize("name", BOUNDS)
def test_a_kernel_of_one_function_is_all_vectors(name: str) -> None:
    target = haswell()
    code = library(name, 1 << 16, target).inspect_source("asm")
    assert not C_LIBRARY.search(code)
    assert re.search(r"vfn?m(add|sub)\d+ps\s.*%ymm", code)
    assert not re.search(r"vfn?m(add|sub)\d+ss\s", code)


@pytest.mark.parametrize("name", MODELS)
def test_kernels_of_models_call_no_c_library(name: str) -> None:
    target = haswell()
    found = kernels(MODELS[name], target)
    code = "\n".join(assembly(kernel, target) for kernel in found.values())
    assert not C_LIBRARY.search(code)
    assert re.search(r"vfn?m(add|sub)\d+ps\s.*%ymm", code)
    assert not re.search(r"vfn?m(add|sub)\d+ss\s", code)
    before = "\n".join(
        tvm.tirx.build(kernel.with_attr("global_symbol", "main"), tvm_target(target)).inspect_source("asm")
        for kernel in found.values()
    )
    assert C_LIBRARY.search(before)


@pytest.mark.parametrize("name", BOUNDS)
def test_fast_math_is_off(name: str) -> None:
    code = library(name, 1 << 10, parse_target("cpu{cores=1}")).inspect_source("ll")
    assert re.search(r"= fmul <", code)
    assert not re.search(r"= f(?:add|sub|mul|div|cmp) (?:fast|reassoc|nnan|ninf|nsz|arcp|afn)", code)


def test_functions_of_functions_compile_and_keep_their_names_apart() -> None:
    x = np.linspace(-2, 2, 64, dtype=np.float32)
    model = parse_model(
        "g (float[64] x) => (float[64] y) { a = Exp (x)  b = Exp (a)  c = Sigmoid (b)  d = Mul (b, c)  y = Tanh (d) }"
    )
    program = graphopt.compile(model, "cpu{cores=1}", cache=False)
    assert not program.report.notes
    b = np.exp(np.exp(x.astype(np.float64)))
    np.testing.assert_allclose(program(x)["y"], np.tanh(b / (1 + np.exp(-b))), rtol=1e-6)


def expanded(dtype: str) -> bool:
    kernel = tvm.te.create_prim_func(_exp_of(dtype))
    return not kernel.same_as(expand_functions(kernel))


def _exp_of(dtype: str) -> list[tvm.te.Tensor]:
    x = tvm.te.placeholder((8,), dtype)
    return [x, tvm.te.compute((8,), lambda i: tirx.exp(x(i)))]


def test_double_precision_stays_with_the_c_library() -> None:
    assert expanded("float32")
    assert expanded("float16")
    assert not expanded("float64")
