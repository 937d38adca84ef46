"""What is proven of a value's range holds for every input, at the scale where rounding shows too."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate
from graphopt.ir.shapes import infer_shapes
from passes.simplify_algebra.ranges import range_of
from tests.networks import network

GRAPH = """
g (float[2,3,6,6] x) => (float[1] y)
<float[4,3,3,3] w, float[4] b, float[3,1,1] s, float[6,5] m, float low = {{-1.5}}, float high = {{2.5}}>
{{ {body} }}
"""
BODIES = {
    "bounds": "y = Clip (x, low, high)",
    "one bound": "y = Clip (x, low)",
    "rectified": "a = Clip (x, low, high) y = Relu (a)",
    "convolution": "a = Clip (x, low, high) y = Conv <pads = [1,1,1,1]> (a, w, b)",
    "convolution of positives": "a = Sigmoid (x) c = Abs (w) d = Conv (a, w, b) y = Relu (d)",
    "product": "a = Tanh (x) y = MatMul (a, m)",
    "scaled and shifted": "a = Sin (x) c = Mul (a, s) y = Add (c, s)",
    "hard swish": "a = Clip (x, low, high) y = HardSwish (a)",
    "means": "a = Clip (x, low, high) c = GlobalAveragePool (a) y = AveragePool <kernel_shape = [1,1]> (c)",
    "extrema": "a = Sin (x) c = Cos (x) d = Max (a, c) e = Clip (x, low, high) y = Min (d, e)",
    "both": "a = Sin (x) c = Clip (x, low, high) d = Concat <axis = 1> (a, c) y = Transpose <perm = [1,0,2,3]> (d)",
}


@pytest.mark.parametrize("body", BODIES)
def test_no_value_leaves_its_range(body: str) -> None:
    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 999), st.sampled_from([1e-3, 1.0, 30.0, 1e4]))
    def check(seed: int, scale: float) -> None:
        model = network(GRAPH.format(body=BODIES[body]), seed=seed)
        model.graph.outputs[0].shape = None
        infer_shapes(model)
        low, high = range_of(model.graph.outputs[0])
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((2, 3, 6, 6)) * scale
        y = evaluate(model, {"x": x.astype(np.float32)})["y"].astype(np.float64)
        assert low <= y.min()
        assert y.max() <= high

    check()


def test_bounds_are_tight_where_weights_are_reached() -> None:
    model = network(
        "g (float[N,1,4,4] x) => (float[N,1,4,3] y) <float[1,1,1,2] w = {1, -2}, float[1] b = {0.5}>"
        "{ s = Sigmoid (x) y = Conv (s, w, b) }"
    )
    infer_shapes(model)
    low, high = range_of(model.graph.outputs[0])
    assert (low, high) == (pytest.approx(-1.5, abs=1e-5), pytest.approx(1.5, abs=1e-5))
    assert low < -1.5
    assert high > 1.5


def test_nothing_is_known_of_what_overflows_or_of_an_input() -> None:
    model = network(
        "g (float16[N,1,4,4] x) => (float16[N,1,4,3] y) <float16[1,1,1,2] w> { s = Sigmoid (x) y = Conv (s, w) }"
    )
    weight = np.array([60000, -60000], np.float16).reshape(1, 1, 1, 2)
    model.graph.initializers["w"].const_value = ir.tensor(weight, name="w")
    infer_shapes(model)
    assert tuple(range_of(model.graph.outputs[0])) == (-math.inf, math.inf)
    assert tuple(range_of(model.graph.inputs[0])) == (-math.inf, math.inf)
