from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.quantization.affine import Affine, Reals, affine_of
from graphopt.quantization.rounding import compensate, descend, integers, quadratic_error, round_rows, round_weight
from graphopt.quantization.rows import Float64, by_rows, from_rows, to_rows
from graphopt.quantization.scales import FACTORS, search_scales
from graphopt.tensors import Array

INT8 = np.dtype(np.int8)


def layer(op: str, **attributes: int) -> ir.Node:
    return ir.node(op, [ir.val("x"), ir.val("w")], attributes=attributes)


LAYERS = [
    (layer("Conv"), (5, 3, 3, 3), 0),
    (layer("Conv"), (6, 4, 3), 0),
    (layer("Conv"), (4, 2, 2, 3, 2), 0),
    (layer("Conv", group=2), (6, 2, 3, 3), 0),
    (layer("Conv", group=4), (4, 1, 3, 3), 0),
    (layer("Conv", group=3), (6, 1, 5), 0),
    (layer("ConvTranspose"), (3, 4, 2, 2), 1),
    (layer("ConvTranspose", group=2), (4, 3, 2, 2), None),
    (layer("Gemm", transB=1), (5, 7), 0),
    (layer("Gemm"), (7, 5), 1),
    (layer("MatMul"), (7, 1), 1),
]


def grams(rng: np.random.Generator, groups: int, columns: int, *, samples: int, dead: int = 0) -> Float64:
    """Return second moments of correlated, positive inputs, of which the first `dead` are always zero."""
    mixed = rng.standard_normal((groups, samples, columns)) @ rng.standard_normal((groups, columns, columns))
    inputs = np.maximum(mixed, 0) + rng.standard_normal((groups, 1, columns)) ** 2
    inputs[..., :dead] = 0
    return np.asarray(inputs.transpose(0, 2, 1) @ inputs / samples)


def error_of(node: ir.Node, weight: Array, real: Reals, gram: Float64) -> Float64:
    return quadratic_error(to_rows(node, weight.astype(np.float64) - real), gram)


@pytest.mark.parametrize(("node", "shape", "axis"), LAYERS)
def test_rows_are_what_the_inputs_multiply(node: ir.Node, shape: tuple[int, ...], axis: int | None) -> None:
    weight = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    rows = to_rows(node, weight)
    assert (from_rows(node, rows, shape) == weight).all()
    if axis is not None:
        channels = np.arange(shape[axis])
        assert (by_rows(node, channels, axis, shape).ravel() == channels).all()
        others = tuple(index for index in range(len(shape)) if index != axis)
        assert (rows.sum(-1).ravel() == weight.sum(others)).all()


def test_a_scale_along_the_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="axis 1 of the weight of Conv is not that of its outputs"):
        by_rows(layer("Conv"), np.arange(3), 1, (5, 3, 3, 3))


@pytest.mark.parametrize(("node", "shape", "axis"), LAYERS)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, ml_dtypes.int4, np.int16])
def test_no_row_errs_more_than_the_nearest(
    node: ir.Node, shape: tuple[int, ...], axis: int | None, dtype: type[np.generic]
) -> None:
    rng = np.random.default_rng(len(shape))
    weight = rng.standard_normal(shape).astype(np.float32)
    others = tuple(index for index in range(len(shape)) if index != axis)
    lower, upper = (weight.min(others), weight.max(others)) if axis is not None else (weight.min(), weight.max())
    affine = affine_of(lower, upper, np.dtype(dtype), axis=axis)
    groups, _, columns = to_rows(node, weight).shape
    gram = grams(rng, groups, columns, samples=64)
    found = round_weight(node, weight, affine, gram)
    assert (found.dtype, found.shape) == (np.dtype(dtype), shape)
    ours = error_of(node, affine.dequantize(found), weight, gram)
    nearest = error_of(node, affine.round_trip(weight), weight, gram)
    assert (ours <= nearest * (1 + 1e-4) + 1e-9).all()  # float32 rounds what integers stand for
    assert ours.sum() < nearest.sum() or columns == 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    groups=st.integers(1, 4),
    rows=st.integers(1, 5),
    columns=st.integers(1, 12),
    samples=st.integers(1, 40),
    size=st.sampled_from([1e-6, 0.3, 4.0, 200.0, 1e6]),
)
def test_integers_stay_in_their_bounds_and_never_err_more(
    seed: int, groups: int, rows: int, columns: int, samples: int, size: float
) -> None:
    rng = np.random.default_rng(seed)
    target = size * rng.standard_normal((groups, rows, columns))
    gram = grams(rng, groups, columns, samples=samples, dead=int(rng.integers(0, columns + 1)))
    least, greatest = -rng.integers(1, 128, (groups, rows)), rng.integers(1, 128, (groups, rows))
    found = round_rows(target, gram, least, greatest)
    nearest = np.clip(np.rint(target), least[..., None], greatest[..., None])
    assert ((found >= least[..., None]) & (found <= greatest[..., None])).all()
    assert (quadratic_error(target - found, gram) <= quadratic_error(target - nearest, gram)).all()


def test_few_columns_come_near_the_least_error_there_is() -> None:
    rng = np.random.default_rng(5)
    excess = []
    for _ in range(40):
        target, gram = rng.uniform(-3, 3, (1, 1, 4)), grams(rng, 1, 4, samples=50)
        found = quadratic_error(target - round_rows(target, gram, -4, 4, damping=1e-9), gram)[0, 0]
        every = np.array(list(itertools.product(range(-4, 5), repeat=4)), np.float64)[None]
        excess.append(found / quadratic_error(target - every, gram).min())
    assert min(excess) > 1 - 1e-9
    assert np.median(excess) < 1 + 1e-9
    assert max(excess) < 4


def test_compensation_is_that_of_the_inverse_hessian() -> None:
    """Frantar et al. 2022, algorithm 1, with rows of the inverse's Cholesky factor."""
    rng = np.random.default_rng(6)
    target, gram = 3 * rng.standard_normal((1, 3, 300)), grams(rng, 1, 300, samples=900)
    gram = gram[:, (order := np.argsort(-np.diagonal(gram[0]))), :][:, :, order]  # ours orders them so itself
    factor = np.linalg.cholesky(np.linalg.inv(gram[0])).T
    moved = target[0].copy()
    for column in range(300):
        rounded = np.rint(moved[:, column])
        error = (moved[:, column] - rounded) / factor[column, column]
        moved[:, column:] -= error[:, None] * factor[column, column:]
        moved[:, column] = rounded
    bound = np.full((1, 3), 1000)
    assert (compensate(target, gram, integers(-bound, bound))[0] == moved).mean() > 0.99  # ties aside


def test_descent_ends_where_no_single_step_helps() -> None:
    rng = np.random.default_rng(7)
    target, gram = rng.uniform(-2, 2, (2, 3, 9)), grams(rng, 2, 9, samples=60)
    bound = np.full((2, 3), 2)
    found = descend(np.clip(np.rint(target), -2, 2), target, gram, integers(-bound, bound))
    error = quadratic_error(target - found, gram)
    for column, move in itertools.product(range(9), (-1, 1)):
        other = found.copy()
        other[..., column] += move
        allowed = np.abs(other[..., column]) <= 2
        assert (quadratic_error(target - other, gram) >= error * (1 - 1e-12))[allowed].all()


def test_weights_without_inputs_or_of_zero_are_rounded_to_nearest() -> None:
    target = np.array([[[0.4, -1.6, 2.5]]])
    assert round_rows(target, np.zeros((1, 3, 3)), -8, 7).tolist() == [[[0, -2, 2]]]
    assert round_rows(target, np.ones((1, 3)), -8, 7).tolist() == [[[0, -2, 2]]]
    assert not round_rows(np.zeros((1, 2, 3)), grams(np.random.default_rng(0), 1, 3, samples=9), -8, 7).any()


def test_a_covariance_that_rounding_has_spoilt_will_do() -> None:
    rng = np.random.default_rng(9)
    basis, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    spoilt = np.stack([basis @ np.diag(np.linspace(-1e-3, 2e-3, 12)) @ basis.T, -np.eye(12), np.eye(12)])
    with pytest.raises(np.linalg.LinAlgError):
        compensate(np.zeros((1, 1, 12)), spoilt[:1] + 1e-4 * np.eye(12), integers(np.zeros((1, 1)), np.zeros((1, 1))))
    target = rng.uniform(-3, 3, (3, 2, 12))
    found = round_rows(target, spoilt, -4, 4)
    assert np.abs(found).max() <= 4
    assert (found[2] == np.rint(target[2])).all()


def test_a_limit_holds_and_a_foreign_gram_is_refused() -> None:
    rng = np.random.default_rng(8)
    node, weight = layer("Gemm", transB=1), rng.standard_normal((4, 6)).astype(np.float32)
    affine = affine_of(-np.abs(weight).max(1), np.abs(weight).max(1), INT8, symmetric=True, axis=0)
    assert np.abs(round_weight(node, weight, affine, grams(rng, 1, 6, samples=20))).max() > 64
    assert np.abs(round_weight(node, weight, affine, grams(rng, 1, 6, samples=20), limit=64)).max() == 64
    with pytest.raises(ValueError, match="none of 1 groups of 6 columns"):
        round_weight(node, weight, affine, np.eye(5)[None])


@pytest.mark.parametrize(("node", "shape", "axis"), LAYERS)
@pytest.mark.parametrize("diagonal", [False, True])
def test_no_scale_of_the_grid_is_better(
    node: ir.Node, shape: tuple[int, ...], axis: int | None, *, diagonal: bool
) -> None:
    rng = np.random.default_rng(len(shape))
    weight = (rng.standard_normal(shape) ** 3).astype(np.float32)
    others = tuple(index for index in range(len(shape)) if index != axis)
    largest = np.abs(weight).max() if axis is None else np.abs(weight).max(others)
    affine = affine_of(-largest, largest, np.dtype(ml_dtypes.int4), symmetric=True, axis=axis)
    groups, _, columns = to_rows(node, weight).shape
    gram = grams(rng, groups, columns, samples=64)
    gram = np.diagonal(gram, axis1=1, axis2=2).copy() if diagonal else gram
    found = search_scales(node, weight, affine, gram)
    ours = error_of(node, found.round_trip(weight), weight, gram)
    for factor in FACTORS:
        other = Affine((affine.scale * factor).astype(np.float32), affine.zero_point, axis)
        theirs = error_of(node, other.round_trip(weight), weight, gram)
        assert (ours.sum() <= theirs.sum() * (1 + 1e-5)) if axis is None else (ours <= theirs * (1 + 1e-5)).all()
    assert (found.scale < affine.scale).any()
