"""Gram matrices: W·G·Wᵀ is the mean square of what a layer with the weight W computes, and W·mean its mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate
from graphopt.calibration import gram as gram_module
from graphopt.calibration.collect import collect
from graphopt.calibration.gram import Gram
from graphopt.calibration.products import multiply_with
from graphopt.errors import ModelError
from graphopt.ir.constants import constant
from tests.networks import network

RNG = np.random.default_rng(0)


@st.composite
def convolutions(draw: st.DrawFn) -> str:
    """Draw a Conv without bias, in one to three dimensions, as a graph."""
    rank = draw(st.integers(1, 3))
    group, inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    several = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    automatic = draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    kernel, strides, dilations = draw(several), draw(several), draw(several)
    if automatic.startswith("SAME"):
        dilations = [1] * rank  # onnxruntime has no others then
    spatial = [(k - 1) * d + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilations, strict=True)]
    pads = draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
    padding = f"pads = {pads}" if automatic == "NOTSET" else f'auto_pad = "{automatic}"'
    dims = ",".join(map(str, [group * inputs, *spatial]))
    weight = ",".join(map(str, [group * outputs, inputs, *kernel]))
    unknown = ",".join(["O"] + [f"S{axis}" for axis in range(rank)])
    return f"""
        g (float[N,{dims}] x) => (float[N,{unknown}] y) <float[{weight}] w> {{
            y = Conv <group = {group}, strides = {strides}, dilations = {dilations}, {padding}> (x, w)
        }}"""


def samples(model: ir.Model, sizes: tuple[int, ...] = (2, 3)) -> list[dict[str, npt.NDArray[np.float32]]]:
    (value,) = model.graph.inputs
    shape = [dim if isinstance(dim, int) else None for dim in value.shape or ()]
    return [{str(value.name): RNG.normal(0.5, 1, [dim or size for dim in shape]).astype(np.float32)} for size in sizes]


def weight(model: ir.Model) -> npt.NDArray[np.float64]:
    (value,) = model.graph.initializers.values()
    array = constant(value)
    assert array is not None
    return array.astype(np.float64)


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(convolutions())
def test_of_any_convolution_it_gives_the_mean_square_of_the_output(text: str) -> None:
    model = network(text)
    batches = samples(model)
    found = collect(model, batches, (), ["y"]).grams["y"]
    groups = model.graph[0].attributes.get_int("group", 1)
    rows = weight(model).reshape(groups, -1, found.sums.shape[1])
    outputs = [evaluate(model, feeds)["y"].astype(np.float64) for feeds in batches]
    by_channel = np.concatenate([np.moveaxis(y, 1, 0).reshape(y.shape[1], -1) for y in outputs], axis=1)
    assert found.count == by_channel.shape[1]
    squares = np.einsum("gok,gkl,gol->go", rows, found.moment, rows).reshape(-1)
    np.testing.assert_allclose(squares, np.square(by_channel).mean(axis=1), rtol=1e-4, atol=1e-5)
    means = np.einsum("gok,gk->go", rows, found.mean).reshape(-1)
    np.testing.assert_allclose(means, by_channel.mean(axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "weight_axis", "output_axis"),
    [
        ("g (float[N,6] x) => (float[N,4] y) <float[6,4] w> { y = Gemm (x, w) }", 0, 1),
        ("g (float[N,6] x) => (float[N,4] y) <float[4,6] w> { y = Gemm <transB = 1> (x, w) }", 1, 1),
        ("g (float[6,N] x) => (float[N,4] y) <float[6,4] w> { y = Gemm <transA = 1> (x, w) }", 0, 1),
        ("g (float[N,6] x) => (float[N,4] y) <float[6,4] w> { y = MatMul (x, w) }", 0, 1),
        ("g (float[N,5,6] x) => (float[N,5,4] y) <float[6,4] w> { y = MatMul (x, w) }", 0, 2),
        ("g (float[N,6,5] x) => (float[N,4,5] y) <float[4,6] w> { y = MatMul (w, x) }", 1, 1),
        ("g (float[6] x) => (float[4] y) <float[4,6] w> { y = MatMul (w, x) }", 1, 0),
        ("g (float[6] x) => (float[4] y) <float[6,4] w> { y = MatMul (x, w) }", 0, 0),
    ],
)
def test_of_any_product_with_a_matrix_as_well(text: str, weight_axis: int, output_axis: int) -> None:
    model = network(text)
    batches = samples(model)
    found = collect(model, batches, (), ["y"]).grams["y"]
    rows = np.moveaxis(weight(model), weight_axis, -1)
    outputs = [np.moveaxis(evaluate(model, feeds)["y"].astype(np.float64), output_axis, 0) for feeds in batches]
    by_row = np.concatenate([y.reshape(y.shape[0], -1) for y in outputs], axis=1)
    assert found.count == by_row.shape[1]
    squares = np.einsum("ok,kl,ol->o", rows, found.moment[0], rows)
    np.testing.assert_allclose(squares, np.square(by_row).mean(axis=1), rtol=1e-4)


def test_parts_merge_to_the_whole() -> None:
    model = network()
    batches = samples(model, (2, 3, 1, 4))
    whole = collect(model, batches, (), ["c"]).grams["c"]
    first, second = (collect(model, part, (), ["c"]).grams["c"] for part in (batches[:1], batches[1:]))
    merged = first.merge(second)
    assert merged.count == whole.count == 10 * 64
    np.testing.assert_allclose(merged.moment, whole.moment, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-6, atol=1e-7)


def test_blocks_of_a_large_input_make_up_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphopt.calibration import window

    model = network()
    batches = samples(model)
    whole = collect(model, batches, (), ["c"]).grams["c"]
    monkeypatch.setattr(window, "_BLOCK_BYTES", 4096)
    pieces = collect(model, batches, (), ["c"]).grams["c"]
    assert pieces.count == whole.count
    np.testing.assert_allclose(pieces.moment, whole.moment, rtol=1e-6, atol=1e-7)


def test_beyond_the_largest_side_the_diagonal_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = RNG.standard_normal((2, 5, 40)).astype(np.float32)
    whole, diagonal = Gram(2, 5), None
    whole.add(columns, multiply_with(1))
    monkeypatch.setattr(gram_module, "LARGEST_SIDE", 4)
    diagonal = Gram(2, 5)
    diagonal.add(columns, multiply_with(1))
    assert diagonal.is_diagonal
    assert not whole.is_diagonal
    assert diagonal.moment.shape == (2, 5)
    np.testing.assert_allclose(diagonal.merge(diagonal).moment, np.einsum("gkk->gk", whole.moment), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("g (float[N,6] x) => (float[N,6] y) { y = Relu (x) }", "is none of Conv, Gemm, MatMul"),
        ("g (float[N,6] x, float[6,4] w) => (float[N,4] y) { y = MatMul (x, w) }", "multiplies with no constant"),
        ("g (float[2,3,6] x) => (float[2,3,4] y) <float[2,6,4] w> { y = MatMul (x, w) }", "is no matrix"),
        ("g (float[N,6] x) => (float[N,6] z) { z = Relu (x) }", "no node of the main graph makes 'y'"),
    ],
)
def test_what_has_none_is_refused_with_the_reason(text: str, words: str) -> None:
    model = network(text)
    with pytest.raises(ModelError, match=words):
        collect(model, [], (), ["y"])
