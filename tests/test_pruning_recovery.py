"""Refitting a changed network to what the original computed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate
from graphopt.calibration.collect import collect
from graphopt.compiler.optimize import optimize
from graphopt.coupling.couple import couple
from graphopt.coupling.shrink import shrink
from graphopt.errors import CalibrationError, ModelError
from graphopt.inspect.fidelity import compare
from graphopt.ir.constants import constant
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.pruning.importance.elimination import eliminate
from graphopt.pruning.importance.evidence import measured
from graphopt.pruning.recovery import walk as walk_module
from graphopt.pruning.recovery.layers import in_order
from graphopt.pruning.recovery.recover import recover, refit
from graphopt.pruning.recovery.walk import Walk
from graphopt.tensors import Feeds
from models.digits import MODEL, TEST
from tests.networks import network
from tests.shared_models import SHARED, SHARED_MODELS

TEXT = """
g (float[N,3,8,8] x) => (float[N,5] y)
<float[8,3,3,3] w, float[8] b, float[8,8,3,3] v, float[8,1,3,3] d, float[8,4,1,1] u, float[5,8] m, float[5] n,
 float[5,5] k>
{
    a = Conv <pads = [1,1,1,1]> (x, w, b)
    r = Relu (a)
    e = Conv <pads = [1,1,1,1]> (r, v, b)
    s = Add (r, e)
    f = Conv <group = 8, pads = [1,1,1,1], strides = [2,2]> (s, d)
    h = Conv <group = 2> (f, u)
    o = Relu (h)
    p = GlobalAveragePool (o)
    q = Flatten (p)
    t = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (q, m, n)
    y = MatMul (t, k)
}
"""
WEIGHTS = ["w", "v", "d", "u", "m", "k"]


def loaded(text: str = TEXT) -> ir.Model:
    model = network(text)
    infer_shapes(model)
    return model


def batches(count: int = 9, seed: int = 5) -> list[Feeds]:
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((8, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def altered(model: ir.Model, change: Callable[[np.ndarray], np.ndarray], names: list[str] = WEIGHTS) -> ir.Model:
    """Return the model with other weights."""
    other = model.clone()
    for name in names:
        value = other.graph.initializers[name]
        array = constant(value)
        assert array is not None
        value.const_value = ir.tensor(change(array).astype(np.float32), name=name)
    return other


def noisy(array: np.ndarray) -> np.ndarray:
    return array + np.random.default_rng(array.size).normal(0, 0.3 * array.std(), array.shape)


def thinned(array: np.ndarray) -> np.ndarray:
    return np.where(np.abs(array) < np.quantile(np.abs(array), 0.4), 0, array)


def weight(model: ir.Model, name: str) -> np.ndarray:
    array = constant(model.graph.initializers[name])
    assert array is not None
    return array


def off(model: ir.Model, changed: ir.Model) -> float:
    """Return the relative error of the answers to data that nothing was fitted to."""
    found = compare(model, changed, batches(seed=99), threads=1)
    assert found is not None
    return found.error


@pytest.mark.parametrize("held", [1 << 30, 40_000, 0])
def test_a_network_with_other_weights_gets_its_answers_back(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "HELD", held)
    model = loaded()
    changed = altered(model, noisy)
    before = off(model, changed)
    found = refit(model, changed, batches(), ridge=1e-7, threads=1)
    verify(changed)
    assert [one.layer for one in found] == ["a", "e", "f", "h", "t", "y"]
    assert before > 0.1
    assert off(model, changed) < 1e-3
    assert all(one.after < one.before for one in found)


def test_what_is_chosen_on_held_out_samples_is_better_than_what_there_was() -> None:
    model = loaded()
    changed = altered(model, thinned)
    before = off(model, changed)
    refit(model, changed, batches(), keep_zeros=True, threads=1)
    assert off(model, changed) < 0.7 * before


def test_zeros_stay_if_asked() -> None:
    model = loaded()
    changed = altered(model, thinned)
    zeros = {name: weight(changed, name) == 0 for name in WEIGHTS}
    refit(model, changed, batches(), keep_zeros=True, threads=1)
    assert all((weight(changed, name)[zeros[name]] == 0).all() for name in WEIGHTS)
    refit(model, changed, batches(), threads=1)
    assert any((weight(changed, name)[zeros[name]] != 0).any() for name in WEIGHTS)


def test_what_lies_before_the_first_change_stays_bit_by_bit() -> None:
    model = loaded()
    changed = altered(model, noisy, ["u"])
    refit(model, changed, batches(), threads=1)
    for name in ("w", "b", "v", "d"):
        np.testing.assert_array_equal(weight(changed, name), weight(model, name))
    assert (weight(changed, "u") != weight(altered(model, noisy, ["u"]), "u")).any()


def test_a_bias_that_others_read_is_not_moved_for_them() -> None:
    model = loaded()
    changed = altered(model, noisy, ["v"])
    refit(model, changed, batches(), threads=1)
    np.testing.assert_array_equal(weight(changed, "b"), weight(model, "b"))
    made = {str(node.outputs[0].name): node for node in changed.graph}
    assert made["a"].inputs[2] is not made["e"].inputs[2]


def test_the_last_layer_of_a_branch_makes_up_for_the_stream() -> None:
    model = loaded()
    steps = in_order(model, model.clone(), {})
    assert [[layer.name for layer in step] for step in steps] == [["a"], ["e"], ["f"], ["h"], ["t"], ["y"]]
    (branch,) = steps[1]
    assert (branch.target, branch.beside) == ("s", "r")
    changed = altered(model, noisy, ["w"])
    changed.graph.initializers["w"].const_value = ir.tensor(np.zeros((8, 3, 3, 3), np.float32), name="w")
    found = {one.layer: one for one in refit(model, changed, batches(), ridge=1e-4, threads=1)}
    assert found["a"].after < 1e-6
    assert found["e"].after < 1e-6


def test_a_pruned_network_answers_more_as_the_original() -> None:
    """Digits, a quarter of the channels gone: refitted on 180 images, judged on 180 others."""
    model, _ = optimize(MODEL, "O1")
    infer_shapes(model)
    coupling = couple(model)
    removal = {group.name: range(len(group.channels) // 4) for group in coupling.groups}
    pruned = model.clone()
    shrink(pruned, coupling, removal)
    images = np.load(TEST)["images"].astype(np.float32)
    fitted, judged = ([{"image": part} for part in np.split(half, 6)] for half in np.split(images, 2))
    before = compare(model, pruned, judged, threads=1)
    recover(model, pruned, coupling, removal, fitted, threads=1)
    verify(pruned)
    after = compare(model, pruned, judged, threads=1)
    assert before is not None
    assert after is not None
    assert after.error < 0.6 * before.error
    assert before.agreement is not None
    assert after.agreement is not None
    assert after.agreement > max(before.agreement + 0.1, 0.9)


def test_a_normalization_that_is_left_gets_statistics_of_what_it_normalizes_now() -> None:
    model = loaded("""
        g (float[N,3,8,8] x) => (float[N,6,8,8] y)
        <float[6,3,3,3] w, float[6] s, float[6] t, float[6] m, float[6] v> {
            a = Conv <pads = [1,1,1,1]> (x, w)
            r = Relu (a)
            y = BatchNormalization <epsilon = 0.001> (r, s, t, m, v)
        }""")
    model.graph.initializers["v"].const_value = ir.tensor(np.linspace(0.5, 2, 6, dtype=np.float32), name="v")
    changed = altered(model, lambda array: 1.7 * array, ["w"])
    for node in changed.graph:
        node.outputs[0].name = {"a": "other"}.get(str(node.outputs[0].name), node.outputs[0].name)  # it stays as it is
    assert off(model, changed) > 0.1
    (found,) = refit(model, changed, batches(), threads=1)
    assert found.layer == "y"
    assert off(model, changed) < 1e-5
    np.testing.assert_allclose(weight(changed, "m"), 1.7 * weight(model, "m"), rtol=1e-4)
    verify(changed)


@pytest.mark.parametrize(
    "attributes",
    [
        "group = 1",
        "strides = [2,2], pads = [1,1,1,1]",
        "strides = [2,3], pads = [0,1,2,0], output_padding = [1,2]",
        "dilations = [2,1], strides = [2,1], group = 2",
        "pads = [2,2,3,2]",
    ],
)
def test_a_transposed_convolution_is_one_too(attributes: str) -> None:
    model = loaded(
        f"""
        g (float[N,4,5,5] x) => (float[N,M,H,W] y) <float[4,2,3,3] w> {{ y = ConvTranspose <{attributes}> (x, w) }}"""
    )
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.standard_normal((8, 4, 5, 5)).astype(np.float32)} for _ in range(6)]
    changed = altered(model, noisy, ["w"])
    (found,) = refit(model, changed, feeds, ridge=1e-9, threads=1)
    assert found.before > 1e-2
    assert found.after < 1e-6
    np.testing.assert_allclose(weight(changed, "w"), weight(model, "w"), atol=1e-3)


def test_a_walk_sees_what_a_run_sees_however_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded()
    probe = model.clone()
    made = {str(value.name): value for node in probe.graph for value in node.outputs}
    probe.graph.outputs.extend(made[name] for name in ("r", "e", "f", "q"))
    expected = [evaluate(probe, feeds) for feeds in batches(2)]
    for held in (1 << 30, 0):
        monkeypatch.setattr(walk_module, "HELD", held)
        steps = (["r"], ["r", "e"], ["f", "x"], ["q", "r"])
        walk = Walk(model, steps, batches(2), 1)
        for wanted in steps:
            for found, feeds, answer in zip(walk.advance(), batches(2), expected, strict=True):
                for name in wanted:
                    np.testing.assert_allclose(found[name], {**answer, **feeds}[name], rtol=1e-4, atol=1e-5)


def test_a_walk_takes_constants_and_defaults_along() -> None:
    model = loaded(
        """
        g (float[N,3,4,4] x) => (float[N,3,4,4] y) <float[3,3,1,1] w, float[3,1,1] s> {
            k = Constant <value = float[1] {2.0}> ()
            a = Mul (x, k)
            b = Conv (a, w)
            c = Add (b, s)
            y = Mul (c, k)
        }"""
    )
    model.graph.inputs.append(model.graph.initializers["s"])  # a default that the caller may override
    feeds = [{"x": np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)}]
    walk = Walk(model, (["a"], ["c"], ["y"]), feeds, 1)
    (first,), (_,), (last,) = (list(walk.advance()) for _ in range(3))
    np.testing.assert_allclose(first["a"], 2 * feeds[0]["x"])
    np.testing.assert_allclose(last["y"], evaluate(model, feeds[0], threads=1)["y"], rtol=1e-5)


def test_a_network_of_other_widths_says_so() -> None:
    model = loaded(
        "g (float[N,3,8,8] x) => (float[N,4,8,8] y) <float[6,3,1,1] w, float[4,6,1,1] v> "
        "{ a = Conv (x, w)\n y = Conv (a, v) }"
    )
    coupling = couple(model)
    pruned = model.clone()
    shrink(pruned, coupling, {coupling.groups[0].name: [1, 4]})
    with pytest.raises(ModelError, match="makes 4 channels, and the original 6"):
        refit(model, pruned, batches(), threads=1)
    recover(model, pruned, coupling, {coupling.groups[0].name: [1, 4]}, batches(), threads=1)


def test_data_that_cannot_be_used_are_refused() -> None:
    model = loaded()
    with pytest.raises(CalibrationError, match="no samples to refit with"):
        refit(model, altered(model, noisy), [], threads=1)
    feeds = batches(2)
    feeds[1]["x"][0, 0, 0, 0] = np.nan  # type: ignore[index]
    with pytest.raises(CalibrationError, match="has a NaN or an infinity on sample 8 to sample 15"):
        refit(model, altered(model, noisy), feeds, threads=1)
    with pytest.raises(CalibrationError, match="does not run on"):
        refit(model, altered(model, noisy), [{"x": np.zeros((1, 4, 8, 8), np.float32)}], threads=1)
    dead = [{"x": np.zeros((8, 3, 8, 8), np.float32)}]
    with pytest.raises(CalibrationError, match="are singular"):
        refit(model, altered(model, noisy, ["w", "b", "m"]), dead, ridge=0.0, threads=1)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the trained networks are not in {SHARED}; GRAPHOPT_SHARED names it")
def test_a_trained_network_with_half_its_channels_gets_most_answers_back() -> None:
    """ResNet-20: half the channels within its blocks gone by elimination, refitted on 60 images."""
    model, _ = optimize(SHARED / "models" / "cifar_resnet20.onnx", "O1")
    infer_shapes(model)
    cifar = next(one for one in SHARED_MODELS if one.name == "cifar_resnet20")
    assert cifar.calibration is not None
    images = [[x for x, _ in itertools.islice(part(), 60)] for part in (cifar.calibration, cifar.samples)]
    fitted, judged = ([{"image": np.concatenate(part[i : i + 20])} for i in range(0, 60, 20)] for part in images)
    coupling = couple(model)
    grams = collect(model, fitted, (), measured(coupling), threads=1).grams
    removal = {}
    for group in coupling.groups:
        if len(group.producers) == 1:  # within a block
            order = eliminate(model, group, grams).order
            removal[group.name] = order[: len(order) // 2]
    pruned = model.clone()
    shrink(pruned, coupling, removal)
    before = compare(model, pruned, judged, threads=1)
    recover(model, pruned, coupling, removal, fitted, threads=1)
    after = compare(model, pruned, judged, threads=1)
    assert before is not None
    assert after is not None
    assert before.agreement is not None
    assert after.agreement is not None
    assert after.agreement > before.agreement + 0.05
    assert after.agreement > 0.8
