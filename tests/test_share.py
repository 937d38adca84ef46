"""`graphopt.share` and `graphopt share`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.cli import main as cli
from graphopt.errors import CalibrationError
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.quantization.weights import weights_of
from tests.test_sparsify import DATA, DIGITS, dense, error, hold_same_answers, share_of_zeros

runner = CliRunner()


def most_values(model: ir.Model, *, by_row: bool = False) -> int:
    """Return how many values a tensor has at most, or a row; those too small to gain by fewer stay as they are."""
    counts = []
    for weight in weights_of(dense(model)):
        rows = weight.rows
        parts = rows.reshape(-1, rows.shape[2]) if by_row else [rows]
        counts += [np.unique(part).size for part in parts if part.size > 16]
    return max(counts)


@pytest.mark.parametrize("per", ["tensor", "row"])
def test_few_values_and_nearly_the_same_answers(per: str) -> None:
    model, report = graphopt.share(DIGITS, DATA, values=8, per=per, threads=1)
    assert most_values(model, by_row=per == "row") == 8
    plain, _ = graphopt.share(DIGITS, values=8, per=per)
    assert error(model) < 0.8 * error(plain)
    assert report.fidelity is not None
    assert report.fidelity.samples == report.held_out == 12
    if per == "tensor":
        assert max(layer.values for layer in report.layers) == 8


def test_the_file_is_a_fraction_and_runs_and_compiles(tmp_path: Path) -> None:
    model, report = graphopt.share(DIGITS)
    save(model, tmp_path / "shared.onnx")
    save(dense(model), tmp_path / "dense.onnx")
    assert report.bytes_after < 0.25 * report.bytes_before
    assert (tmp_path / "shared.onnx").stat().st_size < 0.4 * (tmp_path / "dense.onnx").stat().st_size
    hold_same_answers(tmp_path / "shared.onnx", tmp_path / "dense.onnx")


def test_a_sparse_model_is_shared_and_stays_sparse() -> None:
    sparse, before = graphopt.sparsify(DIGITS, DATA, fraction=0.5, threads=1)
    shared, report = graphopt.share(sparse, DATA, threads=1)
    assert share_of_zeros(shared) == pytest.approx(0.5, abs=2e-3)
    assert most_values(shared) <= 17
    assert report.bytes_after < 0.4 * before.bytes_after


def test_distillation_keeps_the_values_few() -> None:
    pytest.importorskip("torch")
    recipe = "distill{epochs=1 rate=0.001}"
    for per in ("tensor", "row"):
        model, report = graphopt.share(DIGITS, DATA, values=4, per=per, recover="distill", recipe=recipe, threads=1)
        assert most_values(model, by_row=per == "row") == 4
        assert report.recovered is not None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"values": 1}, "must be from 2 to 256"),
        ({"values": 257}, "must be from 2 to 256"),
        ({"per": "layer"}, "unknown kind of sharing 'layer'; there are tensor, row"),
        ({"recover": "distill"}, "give some, or recover none"),
        ({"recover": "least-squares", "data": DATA}, "fitted in the least squares anyway"),
    ],
)
def test_refusals(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(CalibrationError, match=sentence):
        graphopt.share(DIGITS, **arguments)  # type: ignore[arg-type]


def test_the_command(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **DATA)
    arguments = ["share", str(DIGITS), "-o", str(tmp_path / "s.onnx"), "--data", str(tmp_path / "data.npz")]
    result = runner.invoke(cli.build_app(["share"]), [*arguments, "--values", "8", "--limit", "30", "--layers"])
    assert result.exit_code == 0, result.output
    line = " ".join(result.output.split())
    for part in ("8 values a tensor", "held-out samples", "a run takes as long", "layer"):
        assert part in line
    assert most_values(load(tmp_path / "s.onnx")) == 8
    result = runner.invoke(cli.build_app(["share"]), [*arguments[:4], "--per", "row", "--json"])
    assert json.loads(result.output)["per"] == "row"
