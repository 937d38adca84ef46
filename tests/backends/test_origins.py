"""Kernels are known by their nodes, and timed ones compute the same."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

import graphopt
from graphopt.backends.tvm import traced
from graphopt.backends.tvm.compile import CodegenError
from graphopt.backends.tvm.executor import TvmExecutor
from graphopt.backends.tvm.timing import TimingExecutor
from graphopt.backends.tvm.traced import Traced, compile_traced
from graphopt.compiler.kernels import kernels_of
from graphopt.ir.text.parser import parse_model
from graphopt.targets import parse_target

TARGET = parse_target("cpu{cores=1}")
TWINS = """
g (float[1,16,8,8] x) => (float[1,16,8,8] y, float[1,16] p)
<float[16,16,3,3] v, float[16,16,3,3] w, float[16] b>
{ c = Conv <pads = [1,1,1,1]> (x, v, b)  d = Relu (c)
  e = Conv <pads = [1,1,1,1]> (d, w, b)  y = Relu (e)
  m = GlobalAveragePool (y)  p = Flatten (m) }
"""
SORT = """
g (float[3,5] x) => (float[3,2] y, int64[3,2] i)
<int64[1] k = {2}>
{ z = Neg (x)  y, i = TopK (z, k) }
"""


def compiled(text: str) -> tuple[ir.Graph, Traced]:
    model = graphopt.optimize(parse_model(text), "infer-shapes").model
    graph = model.graph
    return graph, compile_traced(list(graph), graph.inputs, graph.outputs, TARGET, kernels_of(model, TARGET))


def test_equal_kernels_are_told_apart() -> None:
    graph, built = compiled(TWINS)
    x = np.random.default_rng(0).standard_normal((1, 16, 8, 8)).astype(np.float32)
    outputs, calls = TimingExecutor(built.program, 1).time([x])
    for plain, timed in zip(TvmExecutor(built.program, 1).run([x]), outputs, strict=True):
        np.testing.assert_array_equal(plain, timed)
    of = [{graph[index].op_type for index in built.origins[call.kernel] if index < len(graph)} for call in calls]
    assert of.count({"Conv", "Relu"}) == 2
    assert len({call.kernel for call in calls}) == len(calls)
    seen = {index for call in calls for index in built.origins[call.kernel]}
    assert seen >= set(range(len(graph) - 1))  # the Flatten may be a view


def test_bytes_are_those_of_the_tensors() -> None:
    _, built = compiled("g (float[1000] x) => (float[1000] y) { y = Neg (x) }")
    executor = TimingExecutor(built.program, 1)
    for _ in range(2):
        _, (call,) = executor.time([np.ones(1000, np.float32)])
        assert call.bytes == 8000


def test_kernels_that_come_as_loops_keep_their_nodes() -> None:
    graph, built = compiled(SORT)
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    (y, _), calls = TimingExecutor(built.program, 1).time([x])
    np.testing.assert_array_equal(y, -np.sort(x, axis=1)[:, :2])
    assert {graph[index].op_type for call in calls for index in built.origins.get(call.kernel, ())} >= {"Neg", "TopK"}


def test_a_failure_of_tvm_is_a_codegen_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("first\nlast line")

    monkeypatch.setattr(traced, "schedule_kernels", fail)
    with pytest.raises(CodegenError, match="^ValueError: last line$"):
        compiled(TWINS)
