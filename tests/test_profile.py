"""`graphopt profile`: what it takes a model apart into. Nothing here asserts a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from graphopt.backends.tvm.compile import CodegenError
from graphopt.backends.tvm.kernels import readable
from graphopt.backends.tvm.roofline import Roofline
from graphopt.benchmark import profile as profiling
from graphopt.benchmark import quiet
from graphopt.benchmark.bound import Bound, Cost
from graphopt.cli.main import build_app
from graphopt.ir.save import save
from tests.networks import network

ROOF = Roofline(flops=1e9, bandwidth=1e8, launch=1e-6)
TWO_PARTS = """
g (float[N,3] x) => (float[N,3] y, int64[2,K] z)
<float[3,3] w>
{ m = MatMul (x, w)  z = NonZero (m)  y = Relu (m) }
"""


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(profiling, "measure_roofline", lambda _: ROOF)
    save(network(), tmp_path / "model.onnx")
    save(network(TWO_PARTS), tmp_path / "parts.onnx")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(["profile"]), ["profile", *map(str, arguments), "--repeats", "2"])


def run_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


SHAPE = "--input-shape", "x:N,3,8,8"


def test_every_operation_is_some_kernels() -> None:
    found = run_json("model.onnx", *SHAPE, "--batch", 2, "--threads", 1)
    elements = 2 * 4 * 8 * 8
    assert sum(kernel["flops"] for kernel in found["kernels"]) == 2 * 27 * elements + elements  # Conv and Relu
    ops = [node["op"] for kernel in found["kernels"] for node in kernel["nodes"]]
    assert {"Conv", "Relu"} == set(ops)
    assert found["roofline"] == {"flops": 1e9, "bandwidth": 1e8, "launch": 1e-6}
    assert found["threads"] == 1


def test_what_onnxruntime_runs_is_one_row() -> None:
    kernels = run_json("parts.onnx")["kernels"]
    (foreign,) = [kernel for kernel in kernels if kernel["executor"] == "onnxruntime"]
    assert [node["op"] for node in foreign["nodes"]] == ["NonZero"]
    assert "bound" not in foreign
    assert {"MatMul", "Relu"} <= {node["op"] for kernel in kernels if kernel != foreign for node in kernel["nodes"]}
    assert "onnxruntime" in run("parts.onnx").stdout


def test_a_busy_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "QUIET", -1.0)
    assert "cores busy meanwhile: the times are not to be trusted" in run("parts.onnx").stderr
    monkeypatch.setattr(quiet, "QUIET", 1e9)
    assert run("parts.onnx").stderr == ""


def test_what_tvm_fails_on_runs_in_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise CodegenError("no")

    monkeypatch.setattr(profiling, "TvmPart", fail)
    assert {kernel["executor"] for kernel in run_json("parts.onnx")["kernels"]} == {"onnxruntime"}


def test_the_slowest_come_first() -> None:
    everything = run_json("parts.onnx")["kernels"]
    (slowest,) = run_json("parts.onnx", "--top", 1)["kernels"]
    assert slowest["kernel"] in {kernel["kernel"] for kernel in everything}
    two = [kernel["ms"] for kernel in run_json("parts.onnx", "--top", 2)["kernels"]]
    assert two == sorted(two, reverse=True)
    assert len(two) == 2


def test_the_table_names_nodes_and_peaks() -> None:
    result = run("model.onnx", *SHAPE, "--threads", 1)
    assert result.exit_code == 0, result.stderr
    assert "conv_add_maximum" in result.stdout
    assert "1 GFLOP/s, 100 MB/s, 1.0 µs a start" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--target", "onnxruntime"], 5, "the target onnxruntime has none; take cpu"),
        (["--target", "c"], 5, "a profile is of this machine, and target c{weights=arrays} is another; take cpu"),
        (["--batch", "2", "--input-shape", "x:1,3,8,8"], 3, "has the fixed batch 1"),
        (["--top", "0"], 2, "--top"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, sentence: str) -> None:
    result = run("model.onnx", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr


def test_a_fixed_batch_needs_no_option(tmp_path: Path) -> None:
    save(network("g (float[4,3] x) => (float[4,3] y) { y = Neg (x) }"), tmp_path / "model.onnx")
    (kernel,) = run_json("model.onnx")["kernels"]
    assert kernel["bytes"] == 2 * 4 * 12


def test_an_input_without_a_shape_is_refused(tmp_path: Path) -> None:
    model = network("g (float[3] x) => (float[3] y) { y = Neg (x) }")
    model.graph.inputs[0].shape = model.graph.outputs[0].shape = None
    save(model, tmp_path / "model.onnx")
    result = run("model.onnx")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "input 'x' has no shape" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "flops", "size", "bound"),
    [
        (2e-3, 1_000_000, 50_000, Bound.COMPUTE),  # floors of 1 ms, 0.5 ms, 1 µs
        (2e-3, 100_000, 50_000, Bound.MEMORY),
        (2e-6, 100, 10, Bound.OVERHEAD),
        (2e-3, 100_000, 1_000_000, Bound.COMPUTE),  # 10 ms to read: it was in a cache
    ],
)
def test_the_highest_floor_binds(seconds: float, flops: int, size: int, bound: Bound) -> None:
    assert Cost(seconds, flops, size).bound(ROOF) is bound


def test_shares_are_of_the_roofs() -> None:
    cost = Cost(2e-3, 1_000_000, 50_000)
    assert (cost.compute_share(ROOF), cost.memory_share(ROOF)) == (pytest.approx(0.5), pytest.approx(0.25))


@pytest.mark.parametrize(
    ("kernel", "name"),
    [("fused_conv12_add3_maximum", "conv_add_maximum"), ("max_pool2d1", "max_pool2d"), ("mean", "mean")],
)
def test_names_are_made_readable(kernel: str, name: str) -> None:
    assert readable(kernel) == name


def test_inspect_times_layers() -> None:
    """Each kernel's time stands at one of its nodes, and all times make up the whole."""
    done = CliRunner().invoke(build_app(["inspect"]), ["inspect", "model.onnx", "--profile", "--json"])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    timed = [layer for layer in found["layers"] if layer["ms"] is not None]
    assert sum(layer["ms"] for layer in timed) == pytest.approx(found["kernels_ms"])
    assert sum(layer["share"] for layer in timed) == pytest.approx(1)
    assert {layer["op"] for layer in timed} >= {"Conv"}
    text = CliRunner().invoke(build_app(["inspect"]), ["inspect", "model.onnx", "--profile"]).stdout
    assert "GFLOP/s" in text
    assert "one by one" in text
