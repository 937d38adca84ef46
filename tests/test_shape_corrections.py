"""What the symbolic engine guesses about control flow must not reach a model, where it would misguide passes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.ir.shapes import infer_shapes
from graphopt.numerics import differences
from tests.networks import network

GROWING = """
g (float[1] x, int64 trips, bool go) => (float[?] y, int64[?] sizes)
{
    y, sizes = Loop (trips, go, x) <body = b (int64 i, bool c, float[?] v) => (bool c_out, float[?] v_out, int64 size)
    {
        c_out = Identity (c)
        shape = Shape (v)
        axes = Constant <value_ints = [0]> ()
        size = Squeeze (shape, axes)
        v_out = Concat <axis = 0> (v, x)
    }>
}
"""

BRANCHING = """
g (float[2,3] x, bool c, int64[K] to) => (float[?,?] y)
{
    b = If (c) <then_branch = t () => (p) { p = Reshape (x, to) }, else_branch = e () => (q) { q = Identity (x) }>
    shape = Shape (b)
    y = ConstantOfShape (shape)
}
"""


@pytest.mark.parametrize("trips", [0, 3])
def test_the_state_of_a_loop_may_grow(trips: int) -> None:
    model = network(GROWING)
    body = model.graph[0].attributes["body"].as_graph()
    body.inputs[2].shape = None
    for output in (model.graph.outputs[0], body.outputs[1]):
        output.shape = None
    optimized, _ = graphopt.optimize(model)
    feeds = {"x": np.float32([7]), "trips": np.array(trips), "go": np.array(True)}
    assert differences(evaluate(model, feeds), evaluate(optimized, feeds))[0].error == 0


def test_the_shape_of_one_branch_is_not_that_of_an_if() -> None:
    model = network(BRANCHING)
    infer_shapes(model)
    produced = {value.name: value for node in model.graph for value in node.outputs}
    assert produced["b"].shape is None
    assert produced["b"].dtype is ir.DataType.FLOAT


def test_an_expand_of_what_has_no_known_shape_has_none() -> None:
    text = """
        g (float[2,3] x, int64[K] to) => (y)
        {
            r = Reshape (x, to)
            ones = Constant <value_ints = [1, 1]> ()
            y = Expand (r, ones)
        }
    """
    model = network(text)
    infer_shapes(model)
    assert model.graph.outputs[0].shape is None


@pytest.mark.parametrize("rows", [2, 5, 9])
def test_a_slice_of_a_symbolic_size_may_be_shorter_than_asked_for(rows: int) -> None:
    text = """
        g (float[N,2] x) => (float[?,?] y)
        {
            from = Constant <value_ints = [3]> ()
            to = Constant <value_ints = [8]> ()
            axis = Constant <value_ints = [0]> ()
            part = Slice (x, from, to, axis)
            shape = Shape (part)
            y = ConstantOfShape (shape)
        }
    """
    model = network(text)
    optimized, _ = graphopt.optimize(model)
    feeds = {"x": np.zeros((rows, 2), np.float32)}
    assert differences(evaluate(model, feeds), evaluate(optimized, feeds))[0].error == 0
