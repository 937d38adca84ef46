"""`graphopt.factorize` and `graphopt factorize`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.backends.ort.session import Session
from graphopt.calibration.preprocessing import METADATA_KEY as PREPROCESSING
from graphopt.cli.main import build_app
from graphopt.compiler.factorize import Factored
from graphopt.errors import CalibrationError, ModelError, PipelineError
from graphopt.factorization.apply import METADATA_KEY, apply, counted_layers, layers_of
from graphopt.factorization.candidates import by_share, candidates
from graphopt.factorization.choose import choose
from graphopt.factorization.moment import Moment
from graphopt.factorization.options import Option, cost, options
from graphopt.inspect.statistics import count_parameters
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.numerics import differences
from graphopt.pruning.budget import Measure
from graphopt.pruning.cost import count, counted
from tests.networks import network

DIGITS = Path("models/digits/digits.onnx")
runner = CliRunner()

LOW_AND_FULL = """
g (float[N,32] x) => (float[N,32] y)
<float[32,32] low, float[32,32] full, float[32] b>
{ h = MatMul (x, low)
  r = Relu (h)
  y = Gemm (r, full, b) }
"""


def images(part: slice) -> np.ndarray:
    return np.load("models/digits/digits_test.npz")["images"][part].astype(np.float32)


@pytest.fixture(scope="module")
def digits() -> Factored:
    return graphopt.factorize(DIGITS, {"image": images(slice(0, 120))}, macs="-25%", threads=1)


def scores(model: Path | ir.Model) -> np.ndarray:
    session = Session(model if isinstance(model, Path) else ir.to_proto(model).SerializeToString())
    return session.run({"image": images(slice(120, None))})["logits"]


def test_a_trained_network_answers_the_same_on_other_data(digits) -> None:
    model, report = digits
    assert report.after.macs <= 0.75 * report.before.macs
    assert report.after.macs == count(Measure.MACS, counted(model))
    expected, actual = scores(DIGITS), scores(model)
    assert (expected.argmax(1) == actual.argmax(1)).mean() >= 0.98
    assert report.recovered is not None
    assert report.recovered.fidelity.error < report.factored.fidelity.error
    assert report.samples == 120
    assert report.held_out == 24
    assert METADATA_KEY in model.metadata_props


def test_the_report_adds_up(digits) -> None:
    _, report = digits
    saved = sum(layer.before - layer.after for layer in report.layers)
    assert report.before.macs - report.factored.macs == saved
    assert all(0 <= layer.error < 1 and layer.answers >= 0 for layer in report.layers)
    assert report.to_dict()["layers"][0]["form"] == report.layers[0].form


@pytest.mark.parametrize("budget", [{"params": "-10%"}, {"bytes": "-10%"}, {"macs": 0.8}])
def test_budgets_hold_without_data(budget: dict) -> None:
    _, report = graphopt.factorize(DIGITS, **budget)
    (measure,) = budget
    name = {"params": "parameters"}.get(measure, measure)
    share = 0.8 if measure == "macs" else 0.9
    assert getattr(report.after, name) <= share * getattr(report.before, name)
    assert report.after.fidelity is None
    assert report.recovered is None


def test_only_the_forms_that_are_asked_for() -> None:
    _, report = graphopt.factorize(DIGITS, macs="-20%", forms=["spatial"])
    assert {layer.form.split()[0] for layer in report.layers} == {"spatial"}


def test_the_layer_of_low_rank_is_the_one_that_is_factored() -> None:
    model = network(LOW_AND_FULL)
    low = np.random.default_rng(0).standard_normal((32, 4)) @ np.random.default_rng(1).standard_normal((4, 32))
    model.graph.initializers["low"].const_value = ir.tensor(low.astype(np.float32), name="low")
    _, report = graphopt.factorize(model, params="-20%")
    assert [layer.layer for layer in report.layers] == ["h"]
    assert report.layers[0].error < 1e-9


def test_labels_give_accuracies() -> None:
    labels = np.load("models/digits/digits_test.npz")["labels"][:60]
    _, report = graphopt.factorize(
        DIGITS, {"image": images(slice(0, 60))}, macs="-10%", recover="none", labels=labels, threads=1
    )
    assert report.before.accuracy is not None
    assert report.before.accuracy > 0.9
    assert report.recovered is None


def test_preprocessing_is_kept() -> None:
    text = "preprocess{scale=1/16}"
    model, _ = graphopt.factorize(DIGITS, macs="-10%", preprocessing=text)
    assert model.metadata_props[PREPROCESSING] == text


def test_ranks_above_a_vector_fill_vectors() -> None:
    model = graphopt.optimize(DIGITS).model
    layers, refusals = counted_layers(model, counted(model), "macs")
    assert layers
    assert not refusals
    for layer in layers.values():
        for option, saved in options(layer, "macs", 8):
            assert saved == cost(layer, "macs") - cost(layer, "macs", option) > 0
            filled = [layer.groups * rank for rank in option.ranks]
            assert all(channels % (8 if channels > 8 else 2) == 0 for channels in filled)


def test_candidates_are_corners_of_a_convex_curve() -> None:
    layer = next(iter(layers_of(graphopt.optimize(DIGITS).model)[0].values()))
    found = candidates(layer, Moment.of(layer, None), options(layer, "params", 4), by_share)
    assert found
    prices = np.diff([0.0, *(one.error for one in found)]) / np.diff([0, *(one.saved for one in found)])
    assert (np.diff(prices) > 0).all()


def test_a_plan_is_applied_as_it_says() -> None:
    model = network(LOW_AND_FULL)
    before = count_parameters(model)
    assert apply(model, {"h": Option("channel", (4,))}) == 1
    assert count_parameters(model) == before - 32 * 32 + 2 * 4 * 32


def test_nothing_is_chosen_where_all_save_too_little() -> None:
    layer = layers_of(network(LOW_AND_FULL))[0]["h"]
    found = {"h": candidates(layer, Moment.of(layer, None), options(layer, "params", 4), by_share)}
    assert choose(found, 32 * 32) is None


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({}, PipelineError, "nothing is to become less"),
        ({"macs": "-20%", "params": "-20%"}, PipelineError, "macs and params"),
        ({"macs": "-99%"}, PipelineError, "macs=-99% asks for more than factoring saves"),
        (
            {"macs": "-20%", "forms": ["svd"]},
            PipelineError,
            "unknown form 'svd' of a factored layer; there are channel",
        ),
        ({"macs": "-20%", "recover": "distill"}, CalibrationError, "recovery 'distill' fits what is left to data"),
        ({"macs": "-20%", "recover": "luck"}, CalibrationError, "unknown recovery 'luck'"),
    ],
)
def test_bad_requests_are_refused(arguments: dict, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        graphopt.factorize(DIGITS, **arguments)


def test_a_model_without_layers_is_refused() -> None:
    model = network("g (float[N,3] x) => (float[N,3] y) { y = Relu (x) }")
    with pytest.raises(ModelError, match="nothing in model 'g' can be factored"):
        graphopt.factorize(model, macs="-20%")


SHARED_WEIGHT = """
g (float[N,4] x, float[4,4] v) => (float[N,4] y)
<float[4,4] w>
{ a = MatMul (x, w)
  b = MatMul (a, w)
  y = MatMul (b, v) }
"""


def test_multiply_adds_of_unknown_sizes_are_not_counted() -> None:
    model = network("g (float[N,32,H,W] x) => (float[N,32,H,W] y) <float[32,32,1,1] w> { y = Conv (x, w) }")
    with pytest.raises(ModelError, match="the sizes of what it reads or makes are unknown; give shapes to the inputs"):
        graphopt.factorize(model, macs="-20%")
    _, report = graphopt.factorize(model, macs="-20%", shapes={"x": [1, 32, 8, 8]}, target="cpu{mcpu=haswell}")
    assert report.after.macs <= 0.8 * report.before.macs
    _, report = graphopt.factorize(model, params="-20%", target="cpu{mcpu=haswell}")
    assert report.after.parameters <= 0.8 * report.before.parameters


def test_what_is_no_layer_says_why() -> None:
    layers, refusals = layers_of(network(SHARED_WEIGHT))
    assert not layers
    assert list(refusals.values()) == ["its weight 'w' is read elsewhere too"] * 2 + ["its weight is no constant"]


def test_the_command(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", image=images(slice(0, 40)))
    output = tmp_path / "small.onnx"
    arguments = ["factorize", str(DIGITS), "-o", str(output), "--macs", "-20%", "--data", str(tmp_path / "data.npz")]
    result = runner.invoke(build_app(["factorize"]), [*arguments, "--explain", "--threads", "1"])
    assert result.exit_code == 0, result.output
    assert "layers as chains" in result.output
    assert "same answer" in result.output
    assert load(output).metadata_props[METADATA_KEY]
    result = runner.invoke(build_app(["factorize"]), [*arguments, "--json", "--recover", "none", "--threads", "1"])
    assert json.loads(result.stdout)["request"] == "macs=-20%"


def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path: Path) -> None:
    app = build_app(["factorize"])
    result = runner.invoke(app, ["factorize", str(DIGITS), "-o", str(tmp_path / "x.onnx"), "--macs", "-99%"])
    assert result.exit_code == PipelineError.exit_code
    assert "Traceback" not in result.output
    result = runner.invoke(
        app, ["factorize", str(DIGITS), "-o", str(tmp_path / "x.onnx"), "--macs", "-9%", "--recipe", "distill"]
    )
    assert result.exit_code == 2


def test_a_factor_that_overflows_its_type_is_refused() -> None:
    model = network("g (float16[N,8] x) => (float16[N,8] y) <float16[8,8] w> { y = MatMul (x, w) }")
    weight = np.full((8, 8), 60000, np.float16)
    model.graph.initializers["w"].const_value = ir.tensor(weight, name="w")
    with pytest.raises(ModelError, match="a factor of MatMul .* does not fit float16; leave the layer out"):
        apply(model, {"y": Option("channel", (1,))})


@pytest.mark.parametrize("dtype", ["float16", "double"])
def test_factors_have_the_type_of_the_weight(tmp_path: Path, dtype: str) -> None:
    model = network(f"g ({dtype}[N,8] x) => ({dtype}[N,8] y) <{dtype}[8,8] w> {{ y = MatMul (x, w) }}")
    apply(model, {"y": Option("channel", (2,))})
    assert {value.dtype.name.lower() for value in model.graph.initializers.values()} == {dtype}
    save(model, tmp_path / "model.onnx")
    Session(tmp_path / "model.onnx")


def test_chains_compile() -> None:
    """Depthwise windows of 3×1 and 1×3 are what our kernels must take as well."""
    model = network(
        "g (float[1,8,6,6] x) => (float[1,8,3,6] y) <float[8,8,3,3] w, float[8] b>"
        "{ y = Conv <pads = [1,1,1,1], strides = [2,1]> (x, w, b) }"
    )
    apply(model, {"y": Option("cp", (16,))})
    module = graphopt.compile(model, cache=False)
    feeds = random_feeds(model, seed=2)
    assert differences(evaluate(model, feeds), module(feeds))[0].error < 1e-5
