"""Eliminating channels: the order, the error of every width, and what the data say to it."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate
from graphopt.calibration import gram as gram_module
from graphopt.calibration.collect import collect
from graphopt.calibration.gram import Gram
from graphopt.calibration.products import multiply_with
from graphopt.coupling.couple import couple
from graphopt.errors import CalibrationError, ModelError
from graphopt.ir.shapes import infer_shapes
from graphopt.pruning.importance.elimination import Elimination, eliminate
from graphopt.pruning.importance.evidence import measured
from graphopt.pruning.importance.sweep import DenseProblem, DiagonalProblem, sweep
from graphopt.tensors import Feeds
from tests.networks import network

Float64 = npt.NDArray[np.float64]
CHAIN = """
g (float[N,3,6,6] x) => (float[N,4,6,6] y)
<float[6,3,1,1] v, float[6] b, float[4,6,3,3] w, float[4] c>
{
    a = Conv (x, v, b)
    r = Relu (a)
    y = Conv <pads = [1,1,1,1]> (r, w, c)
}
"""
RESIDUAL = """
g (float[N,3,6,6] x) => (float[N,5] y, float[N,4,6,6] z)
<float[6,3,1,1] v, float[6,6,3,3] w, float[5,6] m, float[5] n, float[4,6,1,1] u>
{
    a = Conv (x, v)
    r = Relu (a)
    e = Conv <pads = [1,1,1,1]> (r, w)
    s = Add (r, e)
    p = GlobalAveragePool (s)
    q = Flatten (p)
    y = Gemm <transB = 1> (q, m, n)
    z = Conv (s, u)
}
"""


def batches(count: int = 6) -> list[Feeds]:
    rng = np.random.default_rng(5)
    return [{"x": rng.standard_normal((8, 3, 6, 6)).astype(np.float32)} for _ in range(count)]


def eliminated(model: ir.Model, *, damping: float | None = None, feeds: list[Feeds] | None = None) -> Elimination:
    """Eliminate the channels of the only group."""
    infer_shapes(model)
    coupling = couple(model)
    grams = collect(model, feeds or batches(), (), measured(coupling), threads=1).grams
    (group,) = coupling.groups
    return eliminate(model, group, grams, damping=damping)


def least_cost(weight: Float64, moment: Float64, gone: npt.NDArray[np.int64]) -> float:
    """Return the least of ‖(W - W') x‖² with columns of W' gone: least squares over the others."""
    left = np.setdiff1d(np.arange(len(moment)), gone)
    refitted = np.zeros_like(weight)
    if left.size:
        refitted[:, left] = np.linalg.solve(moment[np.ix_(left, left)], moment[left] @ weight.T).T
    change = weight - refitted
    return float(np.trace(change @ moment @ change.T))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 5), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**16))
def test_each_step_is_the_cheapest_and_costs_what_least_squares_cost(
    blocks: int, size: int, rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((rows, blocks * size))
    factor = rng.standard_normal((blocks * size, 3 * blocks * size))
    moment = factor @ factor.T / factor.shape[1]
    columns = rng.permutation(blocks * size).reshape(blocks, size)
    order, error = sweep([DenseProblem(weight, moment, blocks, np.arange(blocks), columns)], [2.0], blocks)
    assert sorted(order) == list(range(blocks))
    for count in range(1, blocks + 1):
        gone = order[: count - 1]
        costs = [
            least_cost(weight, moment, columns[[*gone, block]].ravel()) for block in range(blocks) if block not in gone
        ]
        np.testing.assert_allclose(error[count], 2 * min(costs), rtol=1e-7)
    np.testing.assert_allclose(error[blocks], 2 * np.trace(weight @ moment @ weight.T), rtol=1e-7)


def test_several_problems_lose_the_block_that_all_together_miss_least() -> None:
    first = DiagonalProblem(np.array([[3.0, 1.0, 2.0]]), np.ones(3), 3, np.arange(3), np.arange(3)[:, None])
    second = DiagonalProblem(np.array([[5.0]]), np.ones(1), 3, np.array([1]), np.array([[0]]))
    order, error = sweep([first, second], [1.0, 0.1], 3)
    assert order.tolist() == [1, 2, 0]
    np.testing.assert_allclose(error, [0, 1 + 2.5, 3.5 + 4, 7.5 + 9])


def test_the_best_pair_is_found_where_one_channel_stands_in_for_another() -> None:
    rng = np.random.default_rng(1)
    source = rng.standard_normal((4, 500))
    columns = np.stack([source[0], source[1], source[0] + 0.01 * source[2], source[1] + 0.01 * source[3]])
    moment = columns @ columns.T / 500
    weight = np.array([[1.0, 1.0, 1.0, 1.0], [0.5, -1.0, 0.3, 0.2]])
    order, error = sweep([DenseProblem(weight, moment, 4, np.arange(4), np.arange(4)[:, None])], [1.0], 4)
    best = min(least_cost(weight, moment, np.array(pair)) for pair in itertools.combinations(range(4), 2))
    np.testing.assert_allclose(error[2], best, rtol=1e-6)
    assert {*order[:2].tolist()} in ({0, 1}, {0, 3}, {2, 1}, {2, 3})


@pytest.mark.parametrize("count", [1, 3, 5])
def test_the_error_is_the_mean_square_that_is_measured_with_the_consumer_refitted(count: int) -> None:
    model = network(CHAIN)
    found = eliminated(model, damping=0.0)
    rows, outputs = [], []
    for feeds in batches():
        made = evaluate(_with_output(model, "r"), feeds)
        padded = np.pad(made["r"], ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))  # [N, C, H, W, 3, 3]
        rows.append(windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 6, 9))
        outputs.append(made["y"].transpose(0, 2, 3, 1).reshape(-1, 4))
    columns, wanted = np.concatenate(rows).astype(np.float64), np.concatenate(outputs).astype(np.float64)
    left = np.setdiff1d(np.arange(6), found.order[:count])
    design = np.concatenate([columns[:, left].reshape(len(columns), -1), np.ones((len(columns), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(design, wanted, rcond=None)
    missed = np.square(wanted - design @ solution).mean(axis=0).sum()
    np.testing.assert_allclose(found.error[count], missed / wanted.var(axis=0).sum(), rtol=2e-3)


def test_a_dead_channel_leaves_first_and_costs_nothing() -> None:
    model = network(CHAIN)
    bias = model.graph.initializers["b"]
    assert bias.const_value is not None
    array = bias.const_value.numpy().copy()
    array[4] = -1000
    bias.const_value = ir.tensor(array, name="b")
    found = eliminated(model, damping=0.0001)
    assert found.order[0] == 4
    assert found.error[1] < 1e-3 < found.error[2]


def test_the_error_never_falls_and_all_consumers_count() -> None:
    model = network(RESIDUAL)
    found = eliminated(model)
    assert sorted(found.order) == list(range(6))
    assert (np.diff(found.error) >= 0).all()
    assert found.error[0] == 0
    np.testing.assert_allclose(found.error[-1], 3, rtol=1e-6)  # all that three consumers compute


def test_without_gram_matrices_the_weights_decide() -> None:
    model = network(CHAIN)
    infer_shapes(model)
    (group,) = couple(model).groups
    found = eliminate(model, group, {})
    weight = model.graph.initializers["w"].const_value
    assert weight is not None
    sizes = np.square(weight.numpy().astype(np.float64)).sum(axis=(0, 2, 3))
    assert found.order.tolist() == np.argsort(sizes).tolist()
    np.testing.assert_allclose(found.error, np.concatenate([[0], np.cumsum(np.sort(sizes))]) / sizes.sum())


def test_of_a_diagonal_the_columns_count_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram_module, "LARGEST_SIDE", 4)
    found = eliminated(network(CHAIN))
    assert sorted(found.order) == list(range(6))
    np.testing.assert_allclose(found.error[-1], 1)


def test_channels_of_a_grouped_convolution_are_found_in_each_group() -> None:
    model = network(
        """
        g (float[N,3,6,6] x) => (float[N,4,6,6] y) <float[8,3,1,1] v, float[4,4,1,1] w> {
            a = Conv (x, v)
            y = Conv <group = 2> (a, w)
        }"""
    )
    infer_shapes(model)
    coupling = couple(model)
    grams = collect(model, batches(), (), measured(coupling), threads=1).grams
    for group in coupling.groups:
        found = eliminate(model, group, grams)
        assert sorted(found.order) == list(range(len(group.channels)))
        assert found.error[-1] > 0.9


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda gram: gram.products.fill(np.nan), CalibrationError, "has a NaN"),
        (lambda gram: setattr(gram, "count", 0), CalibrationError, "saw no samples"),
        (lambda gram: gram.products.fill(gram.count), CalibrationError, "is singular"),
    ],
)
def test_moments_that_cannot_be_used_are_refused(change, error: type[Exception], words: str) -> None:  # type: ignore[no-untyped-def]
    model = network(CHAIN)
    infer_shapes(model)
    (group,) = couple(model).groups
    grams = dict(collect(model, batches(), (), ["y"], threads=1).grams)
    grams["y"].sums.fill(0.0)
    change(grams["y"])
    with pytest.raises(error, match=words):
        eliminate(model, group, grams, damping=0.0)


def test_moments_of_another_model_are_refused() -> None:
    model = network(CHAIN)
    infer_shapes(model)
    (group,) = couple(model).groups
    other = Gram(1, 7)
    other.add(np.ones((1, 7, 20), np.float32), multiply_with(1))
    with pytest.raises(CalibrationError, match="is of another model"):
        eliminate(model, group, {"y": other})


def test_where_little_was_seen_weights_decide() -> None:
    """A channel at rest on the samples, with a large weight, stays before one that works and has next to none."""
    model = network(CHAIN)
    for name, channel, content in (("b", 1, -1000.0), ("w", 1, 3.0), ("w", 2, 0.05)):
        value = model.graph.initializers[name]
        assert value.const_value is not None
        array = value.const_value.numpy().copy()
        array[(slice(None), channel) if name == "w" else channel] = content
        value.const_value = ir.tensor(array, name=name)
    few = eliminated(model, feeds=[{"x": batches()[0]["x"][:1]}])
    many = eliminated(model, damping=1e-6)
    assert list(few.order).index(1) > list(few.order).index(2)
    assert many.order[0] == 1


def test_a_weight_that_is_not_finite_is_refused() -> None:
    model = network(CHAIN)
    infer_shapes(model)
    weight = model.graph.initializers["w"]
    weight.const_value = ir.tensor(np.full((4, 6, 3, 3), np.nan, np.float32), name="w")
    (group,) = couple(model).groups
    with pytest.raises(ModelError, match="weight of node Conv.*holds a NaN"):
        eliminate(model, group, {})


def _with_output(model: ir.Model, name: str) -> ir.Model:
    probe = model.clone()
    probe.graph.outputs.append(next(v for node in probe.graph for v in node.outputs if v.name == name))
    return probe
