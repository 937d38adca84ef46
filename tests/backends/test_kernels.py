"""Kernels of native code are the functions that fuse-operators makes, and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
import tvm
from tvm import relax

import graphopt
from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.codegen import generate
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.backends.tvm.stages import Stage, staged
from graphopt.compiler.kernels import kernels_of
from graphopt.ir.text.parser import parse_model
from graphopt.targets import parse_target

TARGET = parse_target("cpu{cores=1}")
GATE = """
g (float[64] x, float[999,64] z) => (float[999,64] y)
{ s = Sigmoid (x)  m = Mul (s, z)  a = Neg (m)  y = Relu (a) }
"""
BLOCK = """
g (float[N,16,8,8] x) => (float[N,16,8,8] y, float[N,16] p)
<float[16,16,3,3] w, float[16] b, float[16,1,1] k>
{ c = Conv <pads = [1,1,1,1]> (x, w, b)  d = Mul (c, k)  e = Add (d, x)  y = Relu (e)
  g = GlobalAveragePool (y)  p = Flatten (g) }
"""


def inferred(text: str) -> ir.Model:
    return graphopt.optimize(parse_model(text), "infer-shapes").model


def count_kernels(model: ir.Model, kernel_of: Mapping[ir.Node, object] | None) -> int:
    graph = model.graph
    module = schedule(lower(list(graph), graph.inputs, graph.outputs, TARGET, kernel_of), TARGET)
    found: list[tvm.ir.Expr] = []
    relax.analysis.post_order_visit(module["main"].body, found.append)
    return sum(isinstance(expr, relax.Call) and getattr(expr.op, "name", "") == "relax.call_tir" for expr in found)


def test_a_kernel_is_named_after_its_result() -> None:
    model = inferred(GATE)
    found = {node.op_type: kernel for node, kernel in kernels_of(model, TARGET).items()}
    assert found == {"Mul": "y", "Neg": "y", "Relu": "y"}
    assert not model.functions


def test_the_cost_model_decides_and_not_relax() -> None:
    model = inferred(GATE)
    assert count_kernels(model, None) == 1
    assert count_kernels(model, kernels_of(model, TARGET)) == 2


@pytest.mark.parametrize("split", range(1, 4))
def test_values_between_kernels_are_stored(split: int) -> None:
    model = inferred("g (float[8] x) => (float[8] y) { a = Exp (x) b = Neg (a) c = Abs (b) y = Relu (c) }")
    kernel_of = {node: index < split for index, node in enumerate(model.graph)}
    assert count_kernels(model, kernel_of) == 2


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        pytest.param("<float[64,600,1,1] w> { y = Conv (x, w) }", False, id="sums in parts"),
        pytest.param("<float[64,600,3,3] w> { y = Conv <pads = [1,1,1,1]> (x, w) }", True, id="transforms of tiles"),
    ],
)
def test_what_registers_hold_is_not_asked_for_at_run_time(body: str, asks: bool) -> None:
    """TVM's own limit would send a tile of sums to its pool, and so keep it out of registers."""
    graph = inferred(f"g (float[1,600,28,28] x) => (float[1,64,28,28] y) {body}").graph
    module = schedule(lower(list(graph), graph.inputs, graph.outputs, TARGET), TARGET)
    kernels = {
        name: each.with_attr("global_symbol", name.name_hint)
        for name, each in module.functions.items()
        if "conv" in name.name_hint
    }
    code = generate(kernels, tvm_target(TARGET)).inspect_source("ll")
    sizes = [int(size) for size in re.findall(r"call ptr %\w+\(i32 1, i32 %dev_id, i64 (\d+), i32 2, i32 32\)", code)]
    assert bool(sizes) is asks
    assert min(sizes, default=1 << 30) > TARGET.vector_registers * TARGET.vector_bits // 8


def test_parts_of_a_sum_are_no_taps() -> None:
    """Two parts are fewer than what is unrolled of taps, and crowd no registers."""
    body = "<float[128,512,1,1] w> { y = Conv (x, w) }"
    graph = inferred(f"g (float[1,512,28,28] x) => (float[1,128,28,28] y) {body}").graph
    kernels = staged(list(graph), graph.inputs, graph.outputs, TARGET, Stage.TIR).kernels
    (tile,) = (kernel.choices["tile"] for kernel in kernels if "tile" in kernel.choices)
    columns, blocks = map(int, tile.split("x"))
    assert columns * blocks > TARGET.vector_registers * 7 // 16


@pytest.mark.parametrize("pipeline", ["O2", "O3"])
def test_programs_of_fused_models_run_as_native_code(pipeline: str) -> None:
    model = parse_model(BLOCK)
    program = graphopt.compile(model, pipeline=pipeline, cache=False)
    assert {placement.executor for placement in program.report.placements} == {"tvm"}
    for batch in (1, 2):  # the second runs the optimized model in onnxruntime
        x = np.random.default_rng(batch).standard_normal((batch, 16, 8, 8)).astype(np.float32)
        expected = graphopt.compile(model, "onnxruntime", pipeline="O0", cache=False)(x)
        for name, array in program(x).items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-4)
