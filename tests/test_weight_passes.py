"""Options of the passes that change weights without data: what they refuse, and what the cases do not show."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

import graphopt
from graphopt.errors import PipelineError
from graphopt.ir.text.parser import parse_model
from graphopt.quantization.weights import weights_of

CONV = "g (float[N,8,5,5] x) => (float[N,8,5,5] y) <float[8,8,1,1] w> { y = Conv (x, w) }"


@pytest.mark.parametrize(
    ("pipeline", "sentence"),
    [
        ("sparsify", "takes one of fraction, threshold and pattern"),
        ("sparsify{fraction=0.5 pattern=2:4}", "takes one of fraction, threshold and pattern"),
        ("sparsify{fraction=1.5}", "must be from 0 to below 1"),
        ("sparsify{threshold=-1}", "must be a number from 0 on"),
        ("sparsify{threshold=nan}", "must be a number from 0 on"),
        ("sparsify{pattern=2:2}", "must be N:M"),
        ("sparsify{threshold=1 method=random}", "leave method=random out"),
        ("sparsify{pattern=2:4 scope=global}", "needs a fraction"),
        ("clip-weights", "takes one of threshold and percentile"),
        ("clip-weights{percentile=101}", "must be above 0, 100 at most"),
        ("clip-weights{threshold=-1}", "must be a number above 0"),
        ("share-weights{values=1}", "must be from 2 to 256"),
        ("tie-weights{tolerance=-0.1}", "must be a number from 0 on"),
    ],
)
def test_refusals(pipeline: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        graphopt.optimize(parse_model(CONV), pipeline)


def test_random_weights_go_by_the_seed() -> None:
    found = []
    for seed in (1, 1, 2):
        model, _ = graphopt.optimize(parse_model(CONV), "sparsify{fraction=0.5 method=random}", seed=seed)
        found.append(weights_of(model)[0].array)
        again, report = graphopt.optimize(model, "sparsify{fraction=0.5 method=random}", seed=9)
        assert report.changes == 0
        assert np.array_equal(weights_of(again)[0].array, found[-1])
    assert (found[0] == 0).sum() == 32
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_a_weight_read_for_something_else_stays() -> None:
    text = "g (float[N,8] x) => (float[N,8] y, float[8,8] z) <float[8,8] w>{ y = MatMul (x, w) z = Neg (w) }"
    _, report = graphopt.optimize(parse_model(text), "sparsify{fraction=0.5},clip-weights{threshold=0.1}")
    assert report.changes == 0


def test_not_finite_tensors_are_not_tied() -> None:
    model = parse_model(
        "g (float[N,2] x) => (float[N,2] z) <float[2,2] v, float[2,2] w> { y = MatMul (x, v) z = MatMul (y, w) }"
    )
    for name in "vw":
        model.graph.initializers[name].const_value = ir.tensor(np.full((2, 2), np.inf, np.float32), name=name)
    assert graphopt.optimize(model, "tie-weights").report.changes == 0
