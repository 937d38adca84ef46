from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate
from graphopt.compiler.correcting import Corrector
from graphopt.compiler.steps import Steps
from graphopt.errors import CalibrationError
from graphopt.inspect.fidelity import Judge
from graphopt.ir.constants import constant
from graphopt.ir.shapes import infer_shapes
from graphopt.quantization.bias_correction import checkpoints, correct_biases, mean_sums
from graphopt.quantization.decide import decide
from graphopt.quantization.emit import emit
from graphopt.quantization.plan import Plan
from graphopt.quantization.scheme import SCHEMES
from graphopt.quantization.selection import select
from graphopt.tensors import Feeds
from tests.networks import network

LAYERS = ["a", "e", "f", "y"]
TEXT = """
g (float[4,3,8,8] x) => (float[4,5] y)
<float[4,3,3,3] w, float[4] b, float[4,4,1,1] v, float[4,1,3,3] d, float[4] c, float[5,4] m, float[5] n>
{
    a = Conv <pads = [1,1,1,1]> (x, w, b)
    r = Relu (a)
    e = Conv (r, v)
    f = Conv <group = 4> (e, d, c)
    s = Relu (f)
    p = GlobalAveragePool (s)
    q = Flatten (p)
    y = Gemm <transB = 1> (q, m, n)
}
"""


def batches(count: int = 4) -> list[Feeds]:
    rng = np.random.default_rng(3)
    return [{"x": (rng.standard_normal((4, 3, 8, 8)) + 0.5).astype(np.float32)} for _ in range(count)]


def planned(text: str = TEXT, scheme: str = "x64") -> tuple[ir.Model, Plan]:
    """Return a network and a plan that clips much of every activation."""
    model = network(text)
    infer_shapes(model)
    selection = select(model, SCHEMES[scheme])
    sizes = {"x": 3.0, "r": 0.4, "a": 0.4, "e": 0.3, "f": 0.2, "s": 0.2, "p": 0.3, "q": 0.3, "y": 0.4}
    ranges = {name: (-size, size) for name, size in sizes.items()}
    ranges |= {name: (0.0, sizes[name]) for name in "rs"}
    return model, decide(
        selection, {str(value.name): ranges[str(value.name)] for value in selection.sources}, SCHEMES[scheme]
    )


def sums(model: ir.Model, names: list[str]) -> dict[str, np.ndarray]:
    """Return the mean of each channel of values."""
    probe = model.clone()
    made = {str(value.name): value for node in probe.graph for value in node.outputs}
    known = {str(value.name) for value in probe.graph.outputs}
    for name in names:
        made[name].type = ir.TensorType(ir.DataType.FLOAT)
    probe.graph.outputs.extend(made[name] for name in names if name not in known)
    held = [evaluate(probe, feeds) for feeds in batches()]
    return {
        name: np.mean([each[name].reshape(*each[name].shape[:2], -1).mean((0, 2)) for each in held], 0)
        for name in names
    }


def step(plan: Plan) -> float:
    """Return the largest step of the int32 that biases become: they are rounded when measured, and when corrected."""
    activations, weights = (max(one.scale.max() for one in part.values()) for part in (plan.values, plan.weights))
    return float(activations * weights)


def written(model: ir.Model, plan: Plan, scheme: str) -> ir.Model:
    quantized = model.clone()
    emit(quantized, plan, scheme)
    return quantized


@pytest.mark.parametrize(("scheme", "names"), [("x64", ["r", "e", "s", "y"]), ("tensorrt", ["a", "e", "f", "y"])])
def test_every_layer_makes_on_average_what_it_made(scheme: str, names: list[str]) -> None:
    model, plan = planned(scheme=scheme)
    expected = sums(model, LAYERS)
    before = sums(written(model, plan, scheme), names)
    done: list[int] = []
    corrected = correct_biases(model, plan, scheme, expected, batches(), on_layer=done.append)
    after = sums(written(model, corrected, scheme), names)
    assert done == [1, 2, 3, 4]
    assert sorted(corrected.biases) == ["b", "c", "e", "n"]
    for layer, name in list(zip(LAYERS, names, strict=True))[1:]:
        assert np.abs(before[name] - expected[layer]).max() > 10 * step(plan)
    for layer, name in zip(LAYERS, names, strict=True):
        np.testing.assert_allclose(after[name], expected[layer], atol=step(plan))


def test_only_the_layers_that_are_named_are_corrected() -> None:
    model, plan = planned()
    expected = {"y": sums(model, LAYERS)["y"]}
    corrected = correct_biases(model, plan, "x64", expected, batches())
    assert list(corrected.biases) == ["n"]
    np.testing.assert_allclose(sums(written(model, corrected, "x64"), ["y"])["y"], expected["y"], atol=step(plan))
    assert dataclasses.replace(corrected, biases={}) == plan


def test_a_bias_that_was_corrected_before_is_what_is_corrected() -> None:
    model, plan = planned()
    expected = {"a": sums(model, LAYERS)["a"]}
    plan = dataclasses.replace(plan, biases={"b": np.full(4, 7, np.float32)})
    once = correct_biases(model, plan, "x64", expected, batches())
    np.testing.assert_allclose(sums(written(model, once, "x64"), ["r"])["r"], expected["a"], atol=step(plan))
    twice = correct_biases(model, once, "x64", expected, batches())
    np.testing.assert_allclose(twice.biases["b"], once.biases["b"], atol=step(plan))


def test_layers_that_share_a_bias_or_have_none_get_their_own() -> None:
    model, plan = planned(
        "g (float[4,3,8,8] x) => (float[4,4,8,8] e) <float[4,3,1,1] w, float[4] b, float[4,4,1,1] v, float[4,4,1,1] u>"
        "{ a = Conv (x, w, b) r = Relu (a) f = Conv (r, u) s = Relu (f) e = Conv (s, v, b) }"
    )
    expected = sums(model, ["a", "f", "e"])
    corrected = correct_biases(model, plan, "x64", expected, batches())
    assert sorted(corrected.biases) == ["a", "e", "f"]
    after = sums(written(model, corrected, "x64"), ["r", "s", "e_real"])
    for layer, name in (("a", "r"), ("f", "s"), ("e", "e_real")):
        np.testing.assert_allclose(after[name], expected[layer], atol=step(plan))


def test_a_bias_by_the_name_of_a_shared_constant_is_for_all_that_read_it() -> None:
    model, plan = planned(
        "g (float[4,3,8,8] x) => (float[4,4,8,8] e) <float[4,3,1,1] w, float[4] b, float[4,4,1,1] v>"
        "{ a = Conv (x, w, b) r = Relu (a) e = Conv (r, v, b) }"
    )
    before = sums(written(model, plan, "x64"), ["r"])
    bias = constant(model.graph.initializers["b"])
    raised = dataclasses.replace(plan, biases={"b": bias + 1})
    after = sums(written(model, raised, "x64"), ["r"])
    np.testing.assert_allclose(after["r"], before["r"] + 1, atol=step(plan))
    own = dataclasses.replace(plan, biases={"b": bias + 1, "a": bias + 2})
    np.testing.assert_allclose(sums(written(model, own, "x64"), ["r"])["r"], before["r"] + 2, atol=step(plan))


def test_a_product_that_adds_nothing_stays() -> None:
    product = network("g (float[4,3] x) => (float[4,2] y) <float[3,2] m> { y = MatMul (x, m) }")
    infer_shapes(product)
    found = decide(select(product, SCHEMES["x64"]), {"x": (-1.0, 1.0)}, SCHEMES["x64"])
    assert correct_biases(product, found, "x64", {"y": np.ones(2)}, []) is found


def test_data_that_are_gone_after_the_first_layer_are_refused() -> None:
    model, plan = planned()
    with pytest.raises(CalibrationError, match="give data that can be gone through again"):
        correct_biases(model, plan, "x64", sums(model, LAYERS), iter(batches()))


def test_means_follow_from_those_of_what_is_multiplied() -> None:
    model = network(TEXT)
    x = np.concatenate([feeds["x"] for feeds in batches()])
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    mean = windows.mean((0, 2, 3)).reshape(1, -1).astype(np.float64)
    first = next(iter(model.graph))
    np.testing.assert_allclose(mean_sums(first, mean), sums(model, ["a"])["a"], atol=1e-5)
    with pytest.raises(ValueError, match="Relu has no constant weight"):
        mean_sums(list(model.graph)[1], mean)


def test_checkpoints_are_spread_over_all_layers_and_end_with_the_last() -> None:
    layers = [str(index) for index in range(10)]
    assert checkpoints(layers, 1) == ["9"]
    assert checkpoints(layers, 2) == ["4", "9"]
    assert checkpoints(layers, 5) == ["1", "3", "5", "7", "9"]
    assert checkpoints(layers, 99) == layers
    assert checkpoints([], 3) == []


def corrector(model: ir.Model, seen: list[Feeds], others: list[Feeds], steps: Steps) -> Corrector:
    return Corrector(model, SCHEMES["x64"], seen, others, 1, steps)


def test_what_makes_the_answers_to_other_samples_better_is_taken() -> None:
    model, plan = planned()
    told: list[tuple[str, int, int | None]] = []
    seen, others = batches(8)[:4], batches(8)[4:]
    corrected = corrector(model, seen, others, Steps(lambda *each: told.append(each))).correct(plan, LAYERS)
    judge = Judge(model, others)
    assert judge.error(written(model, corrected, "x64")) < 0.9 * judge.error(written(model, plan, "x64"))
    assert set(corrected.biases) <= {"b", "c", "e", "n"}
    assert told[-1] == ("correct biases", 2, 2)


def test_what_makes_them_worse_is_not() -> None:
    model, plan = planned()
    seen, others = batches(4), [{"x": -5 * feeds["x"]} for feeds in batches(4)]
    judge = Judge(model, others)
    kept = corrector(model, seen, others, Steps()).correct(plan, LAYERS)
    assert judge.error(written(model, kept, "x64")) <= judge.error(written(model, plan, "x64"))
    assert corrector(model, seen, others, Steps()).correct(plan, []) is plan
