"""`graphopt.sparsify` and `graphopt sparsify`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.backends.ort.session import Session
from graphopt.calibration.source import Samples, open_samples
from graphopt.calibration.split import split
from graphopt.cli import main as cli
from graphopt.compiler import sparsify as driver
from graphopt.compiler.sparsify import Sparse
from graphopt.errors import CalibrationError, ModelError, PipelineError, TrainingError
from graphopt.inspect.fidelity import Judge, compare
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.text.parser import parse_model
from graphopt.quantization.weights import weights_of
from graphopt.sparsity.pattern import Pattern
from graphopt.tensors import Array

DIGITS = Path("models/digits/digits.onnx")
runner = CliRunner()


def images(part: slice) -> Array:
    return np.load("models/digits/digits_test.npz")["images"][part].astype(np.float32)


HELD_OUT = {"image": images(slice(60, None))}
DATA = {"image": images(slice(0, 60))}


def dense(model: ir.Model) -> ir.Model:
    """Return a model with weights that are initializers again."""
    return graphopt.optimize(model, "fold-constants").model


def share_of_zeros(model: ir.Model) -> float:
    arrays = [weight.array for weight in weights_of(dense(model))]
    return sum(int((array == 0).sum()) for array in arrays) / sum(array.size for array in arrays)


def error(model: ir.Model) -> float:
    found = compare(load(DIGITS), model, [HELD_OUT], threads=1)
    assert found is not None
    return found.error


@pytest.fixture(scope="module")
def half() -> Sparse:
    return graphopt.sparsify(DIGITS, DATA, fraction=0.5, threads=1)


def test_half_of_the_weights_are_zero_and_the_answers_nearly_the_same(half: Sparse) -> None:
    model, report = half
    assert share_of_zeros(model) == pytest.approx(0.5, abs=1e-3)
    assert report.zeros / report.weights == pytest.approx(0.5, abs=1e-3)
    assert (report.method, report.request, report.samples, report.held_out) == ("obc", "fraction=0.5", 60, 12)
    assert report.fidelity is not None
    assert report.fidelity.samples == 12
    by_magnitude, _ = graphopt.sparsify(DIGITS, fraction=0.5)
    assert error(model) < 0.5 * error(by_magnitude)


def test_the_file_is_smaller_and_runs_and_compiles(tmp_path: Path, half: Sparse) -> None:
    model, report = half
    save(model, tmp_path / "sparse.onnx")
    save(dense(model), tmp_path / "dense.onnx")
    assert report.bytes_after < 0.7 * report.bytes_before
    assert (tmp_path / "sparse.onnx").stat().st_size < 0.8 * (tmp_path / "dense.onnx").stat().st_size
    hold_same_answers(tmp_path / "sparse.onnx", tmp_path / "dense.onnx")


def hold_same_answers(small: Path, dense: Path) -> None:
    """Ask onnxruntime, which expands weights when it loads them, and without its optimizations each time; and us."""
    expected, actual = (Session(path, optimize=True).run(HELD_OUT)["logits"] for path in (dense, small))
    assert np.array_equal(actual, expected)
    assert evaluate(load(small), HELD_OUT)["logits"] == pytest.approx(expected, abs=1e-4)
    module = graphopt.compile(small, shapes={"image": [300, 1, 8, 8]}, cache=False)
    assert module(HELD_OUT)["logits"] == pytest.approx(expected, abs=1e-4)


def test_least_squares_lessen_the_error_and_keep_zeros() -> None:
    fitted, report = graphopt.sparsify(DIGITS, DATA, pattern="1:4", storage="dense", threads=1)
    assert report.sparse is not None
    assert report.recovered is not None
    assert report.recovered.error < report.sparse.error
    hold_pattern(fitted, Pattern(1, 4), {layer.name for layer in report.layers if layer.zeros})


def test_layers_are_tried_on_samples_from_all_over_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data are often sorted by what they show: the first ones of those held out show one thing alone."""
    monkeypatch.setattr(driver, "TRIED", 6)
    tried: list[str] = []

    def judge(model: ir.Model, samples: Samples, *, threads: int) -> Judge:
        tried.extend(name for batch in samples for name in batch.names)
        return Judge(model, samples, threads=threads)

    monkeypatch.setattr(driver, "Judge", judge)
    graphopt.sparsify(DIGITS, DATA, fraction=0.5, recover="none", threads=1)
    held_out = [name for batch in split(open_samples(DATA, load(DIGITS))).held_out for name in batch.names]
    assert len(tried) == 6
    assert set(tried) < set(held_out)
    assert tried != held_out[:6]


def hold_pattern(model: ir.Model, pattern: Pattern, names: set[str]) -> None:
    assert names
    for weight in weights_of(model):
        rows = weight.rows
        groups = pattern.groups(rows.shape[2], weight.taps)
        if weight.name in names:
            for group in np.unique(groups):
                assert ((rows[..., groups == group] != 0).sum(-1) <= pattern.kept).all()


def test_distillation_keeps_zeros() -> None:
    pytest.importorskip("torch")
    recipe = "distill{epochs=2 rate=0.001}"
    trained, report = graphopt.sparsify(DIGITS, DATA, fraction=0.8, recover="distill", recipe=recipe, threads=1)
    assert report.recovered is not None
    assert share_of_zeros(trained) == pytest.approx(0.8, abs=1e-3)


def test_layers_that_the_answers_miss_most_stay_whole_under_a_pattern() -> None:
    """The first layer has few weights, and all others see by them."""
    model = parse_model(
        "g (float[N,4,6,6] x) => (float[N,8,4,4] y) <float[4,4,1,1] v, float[64,4,3,3] w, float[8,64,1,1] u>"
        "{ a = Conv (x, v) q = Tanh (a) b = Conv (q, w) r = Relu (b) y = Conv (r, u) }"
    )
    data = {"x": np.random.default_rng(0).standard_normal((40, 4, 6, 6)).astype(np.float32)}
    _, report = graphopt.sparsify(model, data, pattern="2:4", threads=1)
    zeros = {layer.name: layer.zeros for layer in report.layers}
    assert zeros == {"v": 0, "w": 64 * 4 * 9 // 2, "u": 8 * 32}
    _, alike = graphopt.sparsify(model, pattern="2:4")
    assert [layer.zeros for layer in alike.layers] == [8, 64 * 4 * 9 // 2, 8 * 32]


def test_a_threshold_is_kept_to_the_letter() -> None:
    model, report = graphopt.sparsify(DIGITS, DATA, threshold=0.05, recover="none", threads=1)
    before = {weight.name: weight.array for weight in weights_of(graphopt.optimize(DIGITS).model)}
    for weight in weights_of(dense(model)):
        kept = np.abs(before[weight.name]) > 0.05
        assert np.array_equal(weight.array, np.where(kept, before[weight.name], 0))
    assert report.method == "magnitude"


def test_chance_is_repeated_by_its_seed() -> None:
    models = [graphopt.sparsify(DIGITS, fraction=0.5, method="random", seed=seed).model for seed in (1, 1, 2)]
    weights = [[weight.array for weight in weights_of(dense(model))] for model in models]
    assert all(np.array_equal(first, second) for first, second in zip(weights[0], weights[1], strict=True))
    assert any(not np.array_equal(first, third) for first, third in zip(weights[0], weights[2], strict=True))


def test_old_opsets_step_up() -> None:
    model = parse_model("g (float[N,64] x) => (float[N,64] y) <float[64,64] w> { y = MatMul (x, w) }", opset=9)
    sparse, report = graphopt.sparsify(model, fraction=0.9)
    assert sparse.opset_imports[""] == 13
    assert report.bytes_after < 0.3 * report.bytes_before


def test_layers_that_share_a_weight_share_its_zeros() -> None:
    model = parse_model(
        "g (float[N,16] x) => (float[N,16] z) <float[16,16] w> { y = MatMul (x, w) r = Relu (y) z = MatMul (r, w) }"
    )
    data = {"x": np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)}
    sparse, report = graphopt.sparsify(model, data, fraction=0.5, threads=1)
    assert [(layer.weights, layer.zeros) for layer in report.layers] == [(256, 128)]
    assert len(weights_of(sparse)) == 1


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({}, PipelineError, "by one of fraction=0.5, pattern=2:4 and threshold=0.01"),
        ({"fraction": 0.5, "pattern": "2:4"}, PipelineError, "by one of"),
        ({"fraction": 1.0}, PipelineError, "must be above 0 and below 1"),
        ({"threshold": -1.0}, PipelineError, "must be a number from 0 on"),
        ({"pattern": "4:2"}, PipelineError, "must be N:M"),
        ({"pattern": "half"}, PipelineError, "must be N:M"),
        ({"fraction": 0.5, "method": "obc"}, CalibrationError, "give data"),
        ({"fraction": 0.5, "method": "taylor"}, CalibrationError, "unknown method 'taylor'; there are magnitude"),
        ({"threshold": 0.5, "method": "random"}, CalibrationError, "goes by magnitude"),
        ({"fraction": 0.5, "recover": "distill"}, CalibrationError, "give some, or recover none"),
        ({"fraction": 0.5, "recover": "prayer"}, CalibrationError, "unknown recovery 'prayer'"),
        ({"fraction": 0.5, "storage": "zip"}, CalibrationError, "unknown storage 'zip'; there are compact, dense"),
        ({"fraction": 0.5, "recipe": "distill{epochs=0}"}, TrainingError, "epochs"),
    ],
)
def test_refusals(arguments: dict[str, object], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        graphopt.sparsify(DIGITS, **arguments)  # type: ignore[arg-type]


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(ModelError, match="has no Conv, ConvTranspose, Gemm or MatMul with a constant weight"):
        graphopt.sparsify(parse_model("g (float[N,2] x) => (float[N,2] y) { y = Relu (x) }"), fraction=0.5)


def test_the_command(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **DATA)
    arguments = ["sparsify", str(DIGITS), "-o", str(tmp_path / "s.onnx"), "--data", str(tmp_path / "data.npz")]
    result = runner.invoke(cli.build_app(["sparsify"]), [*arguments, "--fraction", "0.5", "--limit", "30", "--layers"])
    assert result.exit_code == 0, result.output
    line = result.output.replace("\n", " ")
    for part in ("50.0% of", "weights are zero", "held-out samples", "a run takes as long", "share"):
        assert part in line
    assert share_of_zeros(load(tmp_path / "s.onnx")) == pytest.approx(0.5, abs=1e-3)
    result = runner.invoke(cli.build_app(["sparsify"]), [*arguments[:4], "--pattern", "2:4", "--json"])
    assert json.loads(result.output)["request"] == "pattern=2:4"


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    result = runner.invoke(cli.build_app(["sparsify"]), ["sparsify", str(DIGITS), "-o", str(tmp_path / "s.onnx")])
    assert result.exit_code == PipelineError.exit_code
    assert "say how sparse the model shall be" in " ".join(result.output.split())
    assert not (tmp_path / "s.onnx").exists()
