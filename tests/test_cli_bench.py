"""`graphopt bench`: what it prints, refuses and answers. Nothing here asserts a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from graphopt.benchmark import quiet
from graphopt.benchmark.quiet import OtherLoad
from graphopt.benchmark.runtimes import OPPONENTS
from graphopt.cli.main import build_app
from graphopt.ir.save import save
from tests.fake_runtimes import FAKES
from tests.networks import network

QUICK = ["--target", "onnxruntime", "--repeats", "4", "--threads", "1"]


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(quiet, "watch_idle", lambda: OtherLoad(0.0, 1.0))
    monkeypatch.setattr(quiet, "QUIET", 1e9)
    for name, runtime in FAKES.items():
        monkeypatch.setitem(OPPONENTS, name, runtime)
    save(network(), tmp_path / "model.onnx")
    save(network("g (float[4,3] x) => (float[4,3] y) { y = Neg (x) }"), tmp_path / "fixed.onnx")


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(["bench"]), ["bench", *map(str, arguments)])


def bench_json(*arguments: object, code: int = 0) -> Any:
    result = bench(*arguments, *QUICK, "--json")
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout)


def test_models_at_batches_beside_onnxruntime() -> None:
    done = bench_json("model.onnx", "--batch", "1,2", "--input-shape", "x:N,3,8,8")
    first, second = done["results"]
    assert (first["batch"], second["batch"], second["inputs"]) == (1, 2, {"x": [2, 3, 8, 8]})
    assert set(done["versions"]) == {"graphopt", "onnxruntime"}
    ours, theirs = first["runtimes"]["graphopt"], first["runtimes"]["onnxruntime"]
    assert theirs["ratio"] == pytest.approx(theirs["median_ms"] / ours["median_ms"])
    assert theirs["worst"]["error"] <= 1e-4
    assert ours["threads"] == theirs["threads"] == 1
    assert ours["repeats"] == 4
    assert min(ours["peak_memory"], theirs["peak_memory"]) > 0


def test_alone() -> None:
    (result,) = bench_json("fixed.onnx", "--against", "none")["results"]
    assert list(result["runtimes"]) == ["graphopt"]


def test_an_opponent_that_fails_is_a_row() -> None:
    result = bench("fixed.onnx", "--against", "broken,onnxruntime", *QUICK)
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["fixed", "4", "broken", "failed"] in rows
    assert any(row[:3] == ["fixed", "4", "onnxruntime"] and row[-2] == "equal," for row in rows)
    assert "broken failed: it fails with LookupError" in result.stdout
    assert "× as fast, by medians" in result.stdout
    assert "fixed, batch 4: of graphopt, onnxruntime runs 1 of its 1 nodes" in result.stdout


def test_other_answers_are_exit_code_1() -> None:
    (result,) = bench_json("fixed.onnx", "--against", "wrong", code=1)["results"]
    assert result["runtimes"]["wrong"]["worst"]["output"] == "y"
    assert "wrong answers otherwise: output 'y' differs" in bench("fixed.onnx", "--against", "wrong", *QUICK).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--against", "tensorrt"], 2, "there is no opponent 'tensorrt'"),
        (["--against", "none,onnxruntime"], 2, "or none alone"),
        (["--against", "onnxruntime,onnxruntime"], 2, "--against names onnxruntime twice"),
        (["--batch", "0"], 2, "'0' is no batch"),
        (["--batch", "1,x"], 2, "'x' is no batch"),
        (["--batch", "2,2"], 2, "--batch names 2 twice"),
        (["--plot", "a.pdf"], 2, "--plot draws .png and .svg files, not 'a.pdf'"),
        (["--plot", "nowhere/a.png"], 8, "there is no directory"),
        (["--batch", "8"], 3, "'fixed.onnx' has the fixed batch 4"),
        (["absent.onnx"], 3, "absent.onnx"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, sentence: str) -> None:
    result = bench("fixed.onnx", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


def test_a_busy_machine_is_refused_where_quiet_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "QUIET", 0.1)
    monkeypatch.setattr(quiet, "watch_idle", lambda: OtherLoad(1.0, 2.0))
    result = bench("fixed.onnx", "--require-quiet")
    assert (result.exit_code, result.stdout) == (9, "")
    assert "other programs kept 0.50 cores busy before the first turn; stop them" in result.stderr
    monkeypatch.setattr(quiet, "watch_idle", lambda: None)
    assert "this system does not tell" in bench("fixed.onnx", "--require-quiet").stderr


def test_a_busy_machine_is_warned_of_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "QUIET", -1.0)
    result = bench("fixed.onnx", "--against", "none", *QUICK)
    assert result.exit_code == 0
    assert "before the first turn: the times are not to be trusted" in result.stderr
    assert "in the turns of fixed.onnx, batch 4: the times are not to be trusted" in result.stderr
