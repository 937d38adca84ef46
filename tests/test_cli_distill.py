"""`graphopt.distill` and `graphopt distill`: from files to files."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from click.testing import Result
from typer.testing import CliRunner

import graphopt
from graphopt.cli import main as cli
from graphopt.compiler.distill import METADATA_KEY
from graphopt.distillation.training.progress import Progress
from graphopt.distillation.training.trainer import Trainer
from graphopt.errors import CalibrationError, ModelError, TrainingError
from graphopt.ir.load import load
from graphopt.ir.save import save
from tests.distillation.students import TEACHER, images, student, teacher, weights
from tests.networks import network

QUICK = "distill{epochs=4 batch=8 rate=0.05 held-out=0.25}"
runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(teacher(), tmp_path / "teacher.onnx")
    save(student(), tmp_path / "student.onnx")
    np.savez(tmp_path / "samples.npz", x=images())
    np.save(tmp_path / "labels.npy", np.zeros(40, np.int64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*options: str) -> Result:
    files = ["teacher.onnx", "student.onnx", "-o", "out.onnx", "--data", "samples.npz"]
    arguments = ["distill", *files, "--recipe", QUICK, "--threads", "1", *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["graphopt", *arguments])
        return runner.invoke(cli.build_app(["distill", "check"]), arguments)


def test_the_command_says_what_was_gained(folder: Path):
    kept = ["--checkpoint", "training.pt", "--labels", "labels.npy"]
    done = command("--plot", "curves.svg", *kept)
    assert done.exit_code == 0, done.stderr
    assert re.fullmatch(
        r"out.onnx: written, epoch \d of 4 on 30 samples, same answer [\d.]+%, relative error [\d.]+ of 'y' → "
        r"same answer [\d.]+%, relative error [\d.]+ of 'y' on 10 held out, [\d.]+ s\n",
        done.stdout,
    )
    assert load("out.onnx").metadata_props[METADATA_KEY] == QUICK
    assert "<svg" in Path("curves.svg").read_text(encoding="utf-8")
    report = json.loads(command(*kept, "--resume", "--json").stdout)
    assert report["history"]["steps"] == 4 * 3
    assert [epoch["number"] for epoch in report["history"]["epochs"]] == [0, 1, 2, 3, 4]
    assert report["after"]["samples"] == 10


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--resume"], 2, "--resume goes on from a file; give --checkpoint"),
        (["--plot", "curves.jpg"], 2, "--plot draws .png and .svg files"),
        (["--recipe", "distill{rate=0}"], 10, "option rate=0.0 of 'distill' must be above 0"),
        (["--labels", "samples.npz"], 6, "holds no labels; give one whole number from 0 on for each sample"),
        (["--limit", "39", "--labels", "missing.npy"], 6, "cannot read 'missing.npy'"),
    ],
)
def test_what_is_wrong_is_one_sentence(folder: Path, options: list[str], code: int, sentence: str):
    done = command(*options)
    assert done.exit_code == code, done.stderr
    assert sentence in " ".join(done.stderr.replace("│", " ").split())


def test_an_interrupted_command_says_how_to_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch):
    step = Trainer._step

    def interrupted(self: Trainer, progress: Progress, total: int) -> None:
        step(self, progress, total)
        if progress.steps == 5:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        done = command("--checkpoint", "training.pt")
    assert done.exit_code == 130
    assert "training.pt: written; go on with: graphopt distill teacher.onnx student.onnx" in done.stderr
    assert "--checkpoint training.pt --resume" in done.stderr
    assert command("--checkpoint", "training.pt", "--resume").exit_code == 0
    first = weights(load("out.onnx"))
    assert command().exit_code == 0
    assert all(np.array_equal(array, first[name]) for name, array in weights(load("out.onnx")).items())


@pytest.mark.parametrize("code", ["import graphopt.compiler.distill", "import graphopt.cli.main as m; m.build_app()"])
def test_pytorch_is_imported_where_it_is_used_alone(code: str):
    script = f"{code}\nimport sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_batch_that_is_fixed_is_freed_for_the_training_alone():
    text = (
        TEACHER.replace("N,", "1,")
        .replace("Flatten (p)", "Reshape (p, t)")
        .replace("<float[", "<int64[2] t = {1,4}, float[")
    )
    model = network(text, seed=1)
    result = graphopt.distill(network(text), model, {"x": images()}, QUICK, threads=1)
    assert result.report.history.samples == 30
    ends = (*result.model.graph.inputs, *result.model.graph.outputs)
    assert [list(value.shape or ()) for value in ends] == [[1, 2, 6, 6], [1, 3]]
    assert weights(result.model)["t"].tolist() == [1, 4]
    assert not np.array_equal(weights(result.model)["w"], weights(model)["w"])


def test_what_does_not_fit_is_said():
    data = {"x": images()}
    with pytest.raises(CalibrationError, match="there are 39 labels for 40 samples"):
        graphopt.distill(teacher(), student(), data, QUICK, labels=[0] * 39)
    with pytest.raises(TrainingError, match="cannot read 'distil': it is called 'distill'"):
        graphopt.distill(teacher(), student(), data, "distil")
    strange = network("g (float[N,4] x) => (float[N,4] y) <float[4,4] w> { a = MatMul (x, w) y = Hardmax (a) }")
    with pytest.raises(ModelError, match="these have no gradient here: Hardmax"):
        graphopt.distill(strange, strange, {"x": np.zeros((40, 4), np.float32)}, QUICK)


def test_labels_are_limited_as_samples_are():
    result = graphopt.distill(teacher(), student(), {"x": images()}, QUICK, labels=[0] * 40, limit=20, threads=1)
    assert (result.report.history.samples, result.report.history.held_out) == (15, 5)


def test_nothing_that_is_given_changes():
    master, model = teacher(), student()
    before = [{name: array.copy() for name, array in weights(one).items()} for one in (master, model)]
    result = graphopt.distill(master, model, {"x": images()}, QUICK, threads=1)
    assert isinstance(result.model, ir.Model)
    for one, kept in zip((master, model), before, strict=True):
        assert all(np.array_equal(array, kept[name]) for name, array in weights(one).items())
