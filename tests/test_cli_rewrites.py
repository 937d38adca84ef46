"""The commands about single rewrites: what they print and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from graphopt.cli.main import build_app
from graphopt.ir.save import save
from graphopt.rewrite import Builder, Match
from passes.fold_batch_norm.into_producer import ConvThenBatchNorm
from tests.networks import network

runner = CliRunner()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(network(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a rule leave the normalization away."""

    def replace(rule: object, match: Match, build: Builder) -> object:
        return match.node("conv").outputs[0]

    monkeypatch.setattr(ConvThenBatchNorm, "replace", replace)


def graphopt(*arguments: object, code: int = 0) -> str:
    result = runner.invoke(build_app(), list(map(str, arguments)))
    assert result.exit_code == code, result.stderr
    return result.stdout


def graphopt_json(*arguments: object, code: int = 0) -> Any:
    return json.loads(graphopt(*arguments, "--json", code=code))


def test_optimize_checks_each_rewrite(model: Path) -> None:
    text = graphopt("optimize", model, "-o", "small.onnx", "--check", "rewrite")
    assert "small.onnx: written, 1 rewrites hold, 0 rolled back, 0 not executable" in text


def test_optimize_rolls_back_a_wrong_rewrite(model: Path, wrong: None) -> None:
    command = ["optimize", model, "-o", "small.onnx", "--check", "rewrite"]
    assert "rolled back: fold-batch-norm/ConvThenBatchNorm at 'b'" in graphopt(*command)
    assert "on normal inputs" in graphopt_json(*command)["findings"][0]
    assert graphopt("check", model, "small.onnx").startswith("equal")


def test_data_is_for_the_numeric_check(model: Path) -> None:
    command = ["optimize", model, "-o", "small.onnx", "--check", "rewrite", "--data", "feeds.npz"]
    graphopt(*command, code=2)


def test_bisect_finds_nothing(model: Path) -> None:
    assert graphopt("bisect", model) == "equal: no step of O2 changes the answers\n"


def test_bisect_names_the_match_and_the_text(model: Path, wrong: None) -> None:
    text = graphopt("bisect", model, "--pipeline", "fold-batch-norm", code=1)
    assert "different: fold-batch-norm: ConvThenBatchNorm at BatchNormalization (-> b) (1 of 1 steps)" in text
    assert "--pipeline 'fold-batch-norm{skip=b}'" in text
    np.savez("feeds.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    found = graphopt_json("bisect", model, "--data", "feeds.npz", code=1)
    assert found["culprits"][0]["step"]["at"] == "b"


def test_why(model: Path) -> None:
    text = graphopt("why", model, "b")
    assert "Conv (-> b): made by rewrites" in text
    assert "fold-batch-norm/ConvThenBatchNorm at 'b'" in text
    assert "gone" in graphopt("why", model, "c")
    assert graphopt_json("why", model, "b")["past"]["sources"] == ["c", "b"]
    assert "is named 'q'" in runner.invoke(build_app(), ["why", str(model), "q"]).stderr


def test_why_not(model: Path) -> None:
    assert "applied: fold-batch-norm" in graphopt("why-not", model, "b", "fold-batch-norm")
    text = graphopt("why-not", model, "y", "fold-batch-norm", "--preset", "O1")
    assert "has nothing to say of Relu (-> y)" in text
    assert "it ran at the end" in text
    assert graphopt_json("why-not", model, "b", "fold-batch-norm")["applied"][0]["verdict"] == "applied"
