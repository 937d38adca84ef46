"""Counts as a function of widths: those of the models that really have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.compiler.optimize import optimize
from graphopt.coupling.couple import couple
from graphopt.coupling.shrink import shrink
from graphopt.errors import ModelError
from graphopt.ir.shapes import infer_shapes
from graphopt.pruning.budget import Measure
from graphopt.pruning.cost import cost_of, count, counted
from graphopt.pruning.ranking import removed
from tests.networks import network

DIGITS = Path("models/digits/digits.onnx")
BRANCHES = """
g (float[N,3,16,16] x) => (float[N,5] y)
<float[12,3,3,3] w1, float[12] b1, float[12,1,3,3] w2, float[8,12,1,1] w3, float[10,3,1,1] w4, float[14,18,3,3] w5,
 float[686,5] w6, float[5] b6>
{
    h = Conv <pads = [1,1,1,1]> (x, w1, b1)
    d = Conv <pads = [1,1,1,1], group = 12> (h, w2)
    p = Conv (d, w3)
    q = Conv (x, w4)
    j = Concat <axis = 1> (p, q)
    k = MaxPool <kernel_shape = [2,2], strides = [2,2]> (j)
    m = Conv <pads = [1,1,1,1]> (k, w5)
    r = Relu (m)
    s = MaxPool <kernel_shape = [2,2]> (r)
    f = Flatten (s)
    y = Gemm (f, w6, b6)
}
"""
COUNTED = [measure for measure in Measure if measure is not Measure.LATENCY]


def models() -> dict[str, ir.Model]:
    digits, _ = optimize(DIGITS)
    branches = network(BRANCHES)
    for model in (digits, branches):
        infer_shapes(model)
    return {"digits": digits, "branches": branches}


@pytest.mark.parametrize("name", ["digits", "branches"])
@pytest.mark.parametrize("measure", COUNTED)
def test_other_widths_cost_what_the_smaller_model_does(name: str, measure: Measure) -> None:
    model = models()[name]
    coupling = couple(model)
    assert len(coupling.groups) >= 3
    cost = cost_of(measure, counted(model), coupling.groups)
    assert cost.whole == count(measure, counted(model))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        widths = {group.name: int(rng.integers(1, len(group.channels) + 1)) for group in coupling.groups}
        orders = {group.name: rng.permutation(len(group.channels)) for group in coupling.groups}
        smaller = model.clone()
        shrink(smaller, coupling, removed(orders, widths))
        assert cost(widths) == count(measure, counted(smaller)) <= cost.whole


def test_a_batch_that_is_free_is_one_and_other_sizes_have_to_be_known() -> None:
    model = network("g (float[N,2,H,W] x) => (float[N,3,H,W] y) <float[3,2,1,1] w> { y = Conv (x, w) }")
    infer_shapes(model)
    with pytest.raises(ModelError, match=r"multiply-adds of Conv \(-> y\) cannot be counted.*fix the shapes"):
        cost_of(Measure.MACS, counted(model), ())
    assert cost_of(Measure.PARAMS, counted(model), ()).whole == 6
    assert cost_of(Measure.MACS, counted(model, {"x": [5, 2, 4, 4]}), ()).whole == 5 * 16 * 6
    assert cost_of(Measure.FLOPS, counted(model, {"x": [None, None, 4, 4]}), ()).whole == 2 * 16 * 6
    assert model.graph.inputs[0].shape == ir.Shape(["N", 2, "H", "W"])
