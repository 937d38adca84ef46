"""`graphopt.quantize`, `graphopt quantize` and `compile(calibration=…)`, as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.backends.ort.session import Session
from graphopt.calibration.preprocessing import METADATA_KEY as PREPROCESSING
from graphopt.cli import main as cli
from graphopt.compiler.layers import as_planned, error_history, layer_errors
from graphopt.compiler.quantization_report import QuantizationReport
from graphopt.compiler.quantize import METADATA_KEY
from graphopt.errors import CalibrationError, ModelError, TargetError
from graphopt.ir.constants import constant
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.walk import is_op
from graphopt.pipeline.numeric_check import NumericCheck
from graphopt.quantization.plan import Plan
from graphopt.quantization.saturation import saturating
from graphopt.tensors import Array
from tests.networks import network
from tests.test_quantization_emit import AWKWARD, fused, hold_form, ops

DIGITS = Path("models/digits/digits.onnx")
runner = CliRunner()


def images(part: slice) -> np.ndarray:
    return np.load("models/digits/digits_test.npz")["images"][part].astype(np.float32)


@pytest.fixture(scope="module")
def digits() -> tuple[ir.Model, QuantizationReport]:
    return graphopt.quantize(DIGITS, {"image": images(slice(0, 60))})


@pytest.mark.parametrize("method", ["auto", "minmax"])
def test_without_vnni_no_sum_of_two_products_leaves_int16(method: str) -> None:
    risky = {}
    for scheme in ("x64", "x64-avx2"):
        model, report = graphopt.quantize(DIGITS, {"image": images(slice(0, 60))}, scheme, method=method)
        assert model.metadata_props[METADATA_KEY] == scheme
        assert report.fidelity is not None
        assert report.fidelity.error < 0.06
        risky[scheme] = [saturating(node, integers).sum() for node, integers in products(report.plan)]
    assert sum(risky["x64"]) > 0
    assert sum(risky["x64-avx2"]) == 0


def products(plan: Plan) -> Iterator[tuple[ir.Node, Array]]:
    """Yield the products of the digits network that sum over channels, with the integers of their weights."""
    for node in graphopt.optimize(DIGITS).model.graph:
        weight = constant(node.inputs[1]) if node.op_type in {"Conv", "Gemm"} else None
        if weight is not None and weight.shape[1] > 1:
            name = str(node.inputs[1].name)
            yield node, plan.integers.get(name, plan.weights[name].quantize(weight))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", image=images(slice(0, 40)))
    return tmp_path / "data.npz"


def test_answers_are_compared_on_samples_from_all_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of data that are sorted, black pictures first."""
    judged = []
    monkeypatch.setattr("graphopt.compiler.quantize.JUDGED", 20)
    monkeypatch.setattr(
        "graphopt.compiler.quantize.compare", lambda *given, **_: judged.extend(batch["image"] for batch in given[2])
    )
    sorted_images = np.concatenate([np.zeros((50, 1, 8, 8), np.float32), images(slice(0, 50))])
    graphopt.quantize(DIGITS, {"image": sorted_images}, method="minmax")
    seen = np.concatenate(judged)
    assert len(seen) == 20
    assert 0 < sum(bool(image.any()) for image in seen) < 20


def test_a_trained_network_answers_the_same_on_other_data(digits) -> None:
    model, report = digits
    held_out = images(slice(60, None))
    expected, actual = (
        Session(ir.to_proto(one).SerializeToString()).run({"image": held_out})["logits"]
        for one in (load(DIGITS), model)
    )
    assert (expected.argmax(1) == actual.argmax(1)).mean() >= 0.99
    assert np.linalg.norm(actual - expected) < 0.05 * np.linalg.norm(expected)
    assert report.fidelity is not None
    assert report.fidelity.samples == report.samples == 60
    assert report.fidelity.error < 0.05
    assert report.bytes_after < 0.45 * report.bytes_before
    assert model.metadata_props[METADATA_KEY] == report.scheme == "x64"


def test_all_its_convolutions_run_in_integers(digits) -> None:
    model, report = digits
    hold_form(model)
    assert not report.floats
    assert fused(model)["QLinearConv"] == ops(model)["Conv"] == 11


@pytest.mark.parametrize("pipeline", ["O1", "O2", "fixpoint(fold-constants,deduplicate,eliminate-identity)"])
def test_passes_leave_what_belongs_together(digits, pipeline: str) -> None:
    model, _ = digits
    optimized, _ = graphopt.optimize(model, pipeline, check=NumericCheck())
    hold_form(optimized)
    assert ops(optimized) == ops(model)


def test_fused_kernels_answer_the_same(digits) -> None:
    model, _ = digits
    optimized, _ = graphopt.optimize(model, "O3", check=NumericCheck())
    assert ops(optimized)["QuantizeLinear"] == ops(model)["QuantizeLinear"]


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_a_method_of_ranges_alone_rounds_to_the_nearest(method: str) -> None:
    _, report = graphopt.quantize(DIGITS, {"image": images(slice(0, 16))}, method=method)
    assert report.method == method
    assert report.fidelity is not None
    assert report.fidelity.error < 0.12
    assert not report.plan.integers


@pytest.mark.parametrize("target", ["tensorrt", "graphopt", "x64-int16", "weights-int8", "x64{per-channel=false}"])
def test_every_target_quantizes(target: str) -> None:
    model, report = graphopt.quantize(DIGITS, {"image": images(slice(0, 16))}, target)
    assert report.fidelity is not None
    assert report.fidelity.error < 0.1
    assert report.scheme.partition("{")[0] in {target.partition("{")[0]}
    assert any(is_op(node, "DequantizeLinear") for node in model.graph)


def test_weights_alone_need_no_data() -> None:
    model, report = graphopt.quantize(DIGITS, target="weights-int8")
    assert (report.samples, report.fidelity) == (0, None)
    assert "QuantizeLinear" not in ops(model)


def test_an_old_opset_is_raised() -> None:
    model = network(AWKWARD["grouped and depthwise"])
    model.opset_imports[""] = 11
    feeds = [random_feeds(model, seed=seed) for seed in range(3)]
    quantized, report = graphopt.quantize(model, feeds)
    assert quantized.opset_imports[""] == 13
    assert report.pipeline.startswith("convert-opset{version=13},")


def test_what_is_given_stays_untouched() -> None:
    model = network(AWKWARD["residual"])
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    graphopt.quantize(model, [random_feeds(model)])
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_the_limit_is_kept() -> None:
    _, report = graphopt.quantize(DIGITS, {"image": images(slice(0, 16))}, method="minmax", limit=5)
    assert report.samples == 5


def test_processes_calibrate_as_one_does() -> None:
    pytest.importorskip("dask", reason="processes are an extra")
    data = {"image": images(slice(0, 12))}
    seen: list[tuple[int, int | None]] = []
    alone, parted = (
        graphopt.quantize(
            DIGITS,
            data,
            method="mse",
            workers=workers,
            on_progress=lambda step, done, total: seen.append((done, total)) if step == "calibrate" else None,
        ).report
        for workers in (1, 2)
    )
    assert alone.plan.to_json() == parted.plan.to_json()
    assert seen[-1] == (12, 12)


def test_progress_ends_where_it_said() -> None:
    steps: dict[str, tuple[int, int | None]] = {}
    graphopt.quantize(
        DIGITS,
        {"image": images(slice(0, 8))},
        on_progress=lambda step, done, total: steps.update({step: (done, total)}),
    )
    assert steps["calibrate"] == (8, 8)
    assert all(done == total for name, (done, total) in steps.items() if total is not None), steps


def test_nothing_to_quantize_is_said() -> None:
    model = network("g (float[4] x) => (float[4] y) { y = Tanh (x) }")
    with pytest.raises(
        ModelError, match="nothing in model 'g' can compute in integers .Tanh .-> y.: Tanh has no integers"
    ):
        graphopt.quantize(model, [{"x": np.zeros(4, np.float32)}])


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({}, CalibrationError, "scheme x64 quantizes activations: give data"),
        (
            {"method": "best", "data": {"image": np.zeros((1, 1, 8, 8), np.float32)}},
            CalibrationError,
            "unknown method 'best'",
        ),
        ({"target": "arm", "data": {"image": np.zeros((1, 1, 8, 8), np.float32)}}, TargetError, "unknown scheme 'arm'"),
        (
            {"workers": 0, "data": {"image": np.zeros((1, 1, 8, 8), np.float32)}},
            CalibrationError,
            "cannot be dealt out to 0 workers; give 1",
        ),
        ({"data": {"image": np.full((1, 1, 8, 8), np.nan, np.float32)}}, CalibrationError, "NaN"),
        ({"data": {"image": np.zeros((1, 3, 8, 8), np.float32)}}, CalibrationError, "image"),
    ],
)
def test_what_the_user_can_mend_is_said(arguments: dict, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        graphopt.quantize(DIGITS, **arguments)


def test_the_command_writes_a_model_and_its_plan(data: Path, tmp_path: Path) -> None:
    output, plan = tmp_path / "int8.onnx", tmp_path / "plan.json"
    result = runner.invoke(
        cli.build_app(), ["quantize", str(DIGITS), "-o", str(output), "--data", str(data), "--plan", str(plan)]
    )
    assert result.exit_code == 0, result.stderr
    closing = result.stdout.splitlines()[-1]
    for words in (
        "int8.onnx: written",
        "nodes in integers",
        "kB →",
        "same answer",
        "relative error",
        "on 40 of the 40 samples",
    ):
        assert words in closing
    again, _ = graphopt.optimize(DIGITS, f"O2,quantize{{plan={plan}}}")
    feeds = {"image": images(slice(0, 8))}
    for name, array in evaluate(load(output), feeds).items():
        np.testing.assert_array_equal(array, evaluate(again, feeds)[name])
    assert Plan.load(plan).nodes


def test_the_command_reports_json(data: Path, tmp_path: Path) -> None:
    arguments = [
        "quantize",
        str(DIGITS),
        "-o",
        str(tmp_path / "o.onnx"),
        "--data",
        str(data),
        "--method",
        "mse",
        "--json",
    ]
    done = json.loads(runner.invoke(cli.build_app(), arguments).stdout)
    assert (done["scheme"], done["method"], done["samples"]) == ("x64", "mse", 40)
    assert done["fidelity"]["agreement"] > 0.9


def test_the_command_explains_what_stays(tmp_path: Path) -> None:
    model = network(AWKWARD["a value that is an output and read twice"])
    save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", **random_feeds(model))
    arguments = [
        "quantize",
        str(tmp_path / "m.onnx"),
        "-o",
        str(tmp_path / "o.onnx"),
        "--data",
        str(tmp_path / "x.npz"),
    ]
    shown = runner.invoke(cli.build_app(), [*arguments, "--explain"]).stdout
    assert "float32: Tanh (-> z): Tanh has no integers there" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["quantize", "absent.onnx", "-o", "o.onnx", "--data", "d.npz"], 3, "absent.onnx"),
        (["quantize", str(DIGITS.absolute()), "-o", "o.onnx"], 6, "give data"),
        (["quantize", str(DIGITS.absolute()), "-o", "o.onnx", "--data", "absent.npz"], 6, "absent.npz"),
        (["quantize", str(DIGITS.absolute()), "-o", "o.onnx", "--data", "absent.npz", "--target", "x46"], 5, "x64"),
        (["quantize", str(DIGITS.absolute()), "-o", "absent/o.onnx", "--data", "absent.npz"], 8, "no directory"),
        (
            ["optimize", str(DIGITS.absolute()), "-o", "o.onnx", "--pipeline", "quantize{plan=absent.json}"],
            6,
            "absent.json",
        ),
        (
            ["optimize", str(DIGITS.absolute()), "-o", "o.onnx", "--pipeline", "quantize{plan=p target=x}"],
            4,
            "unknown scheme",
        ),
        (["compile", str(DIGITS.absolute()), "-o", "p", "--calibration", "absent.npz"], 6, "absent.npz"),
    ],
)
def test_the_commands_say_what_can_be_mended(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(cli.build_app(), arguments)
    assert result.exit_code == code, result.stderr
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_model_keeps_how_pictures_become_inputs(data: Path) -> None:
    model, _ = graphopt.quantize(DIGITS, data, preprocessing="preprocess{order=grey}", method="minmax")
    assert model.metadata_props[PREPROCESSING] == "preprocess{order=grey}"


def test_a_program_is_compiled_from_calibration_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path))
    first, others = images(slice(0, 24)), images(slice(100, 124))
    stages: list[str] = []
    module = graphopt.compile(DIGITS, target="onnxruntime", calibration={"image": first}, on_stage=stages.append)
    assert any(stage.startswith("quantize: calibrate") for stage in stages)
    assert "optimize" in stages
    expected = Session(DIGITS).run({"image": others})["logits"]
    assert (module(others)["logits"].argmax(1) == expected.argmax(1)).mean() > 0.95
    stages.clear()
    graphopt.compile(DIGITS, target="onnxruntime", calibration={"image": first}, on_stage=stages.append)
    assert "optimize" not in stages  # the same data, the same program
    graphopt.compile(DIGITS, target="onnxruntime", calibration={"image": others}, on_stage=stages.append)
    assert "optimize" in stages


@pytest.mark.parametrize("target", ["x64", "tensorrt", "weights-int8"])
def test_each_layer_is_compared_and_quantized_alone(target: str, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "int8.onnx"
    arguments = ["quantize", str(DIGITS), "-o", str(output), "--data", str(data), "--target", target, "--layers"]
    plain = json.loads(runner.invoke(cli.build_app(), [*arguments, "--json"]).stdout)
    layers = {each["layer"]: each for each in plain["layers"]}
    products = [each for each in layers.values() if each["operator"] in {"Conv", "Gemm"}]
    assert len(products) == 12
    assert all(20 < each["sqnr"] < 70 and each["cosine"] > 0.99 for each in products)
    assert all(0 < each["contribution"] < 0.05 for each in products)
    shown = runner.invoke(cli.build_app(), arguments).stdout
    assert all(layer in shown for layer in layers)


def test_a_page_says_what_each_layer_alone_does_to_answers() -> None:
    quantized = graphopt.quantize(DIGITS, {"image": images(slice(0, 32))})
    planned = as_planned(DIGITS, quantized)
    errors = layer_errors(planned, quantized, {"image": images(slice(0, 32))})
    story = error_history(planned, quantized, errors).story()
    before, after = ([story.nodes[at] for at in stage.nodes] for stage in story.stages)
    told = {node.op: node.metrics["error"] for node in after if "error" in node.metrics}
    assert {"Conv", "Gemm"} <= set(told)
    assert sorted(each.contribution for each in errors.layers) == sorted(
        node.metrics["error"] for node in after if "error" in node.metrics
    )
    assert all("error" not in node.metrics for node in before)


def test_the_layers_are_drawn(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn by the extra `bench`")
    picture = tmp_path / "layers.svg"
    arguments = ["quantize", str(DIGITS), "-o", str(tmp_path / "q.onnx"), "--data", str(data), "--plot", str(picture)]
    assert runner.invoke(cli.build_app(), arguments).exit_code == 0
    assert picture.read_text().count("(Conv)") == 11


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--data", "samples.npz", "--plot", "layers.gif"], "--plot draws .png and .svg files"),
        (["--layers", "--target", "weights-int8"], "--layers, --plot and --report measure on data"),
        (["--data", "samples.npz", "--report", "layers.pdf"], "--report"),
    ],
)
def test_layers_that_cannot_be_shown_are_refused_early(options: list[str], sentence: str, tmp_path: Path) -> None:
    result = runner.invoke(cli.build_app(), ["quantize", str(DIGITS), "-o", str(tmp_path / "q.onnx"), *options])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(("samples", "tried"), [(16, True), (15, False)])
def test_biases_are_corrected_where_there_are_samples_to_tell_whether_it_helps(samples: int, tried: bool) -> None:
    steps: list[str] = []
    data = {"image": images(slice(0, samples))}
    graphopt.quantize(DIGITS, data, on_progress=lambda step, *_: steps.append(step))
    assert ("correct biases" in steps) == tried
