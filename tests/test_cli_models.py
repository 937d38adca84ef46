"""The commands that take a model, on small ones: what they print, write and answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

from graphopt.cli.main import build_app
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.tensors import Array
from tests.networks import network

runner = CliRunner()
PIPELINE = ["--pipeline", "fold-batch-norm"]
SHAPE = ["--input-shape", "x:1,3,8,8"]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "cache"))
    save(network(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def x() -> Array:
    return np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)


def graphopt(*arguments: object, code: int = 0) -> str:
    result = runner.invoke(build_app(), list(map(str, arguments)))
    assert result.exit_code == code, result.stderr
    return result.stdout


def graphopt_json(*arguments: object, code: int = 0) -> Any:
    return json.loads(graphopt(*arguments, "--json", code=code))


def complaint(*arguments: object, code: int) -> str:
    result = runner.invoke(build_app(), list(map(str, arguments)))
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_inspect(model: Path) -> None:
    text = graphopt("inspect", model, *SHAPE)
    assert "x: float32[1, 3, 8, 8]" in text
    assert "BatchNormalization" in text
    found = graphopt_json("inspect", model, *SHAPE)
    assert found["ops"] == {"Conv": 1, "BatchNormalization": 1, "Relu": 1}
    assert found["macs"] == 4 * 8 * 8 * 3 * 3 * 3


def test_inspect_lists_layers(model: Path) -> None:
    text = graphopt("inspect", model, *SHAPE, "--layers")
    assert "FLOPs/byte" in text
    assert "1×4×8×8" in text
    found = graphopt_json("inspect", model, *SHAPE, "--layers")
    assert [layer["op"] for layer in found["layers"]] == ["Conv", "BatchNormalization", "Relu"]
    assert found["activations"] > 0
    assert "layers" not in graphopt_json("inspect", model)
    assert "activations  unknown" in graphopt("inspect", model)


def test_inspect_sees_through_kernels(model: Path, tmp_path: Path) -> None:
    fused = tmp_path / "fused.onnx"
    graphopt("optimize", model, "-o", fused, "--pipeline", "infer-shapes,fuse-operators")
    text, found = graphopt("inspect", fused), graphopt_json("inspect", fused)
    assert "1, of which 1 call kernels (1 different); 3 operators in all" in text
    assert (found["nodes"], found["kernels"]) == (1, {"ConvBatchNormalizationRelu": 1})
    assert found["ops"] == {"Conv": 1, "BatchNormalization": 1, "Relu": 1}


def test_inspect_says_what_it_could_not_count(model: Path) -> None:
    assert "1 Conv" in graphopt("inspect", model)


def test_inspect_prints_the_graph(model: Path) -> None:
    assert "y = Relu (b)" in graphopt("inspect", model, "--text")


@pytest.mark.parametrize("shape", ["z:1,3,8,8", "x:1,3,8", "x:1,4,8,8"])
def test_a_shape_that_does_not_fit(model: Path, shape: str) -> None:
    assert shape[0] in complaint("inspect", model, "--input-shape", shape, code=3)


def test_optimize_writes_an_equal_smaller_model(model: Path) -> None:
    text = graphopt("optimize", model, "-o", "small.onnx", *PIPELINE, "--check", "numeric", "--explain")
    assert "3 → 2" in text
    assert "applied" in text
    assert [node.op_type for node in load("small.onnx").graph] == ["Conv", "Relu"]
    assert graphopt("check", model, "small.onnx").startswith("equal")


def test_optimize_reports_as_json(model: Path) -> None:
    done = graphopt_json("optimize", model, "-o", "small.onnx", *PIPELINE)
    assert (done["report"]["before"]["nodes"], done["report"]["after"]["nodes"]) == (3, 2)
    assert done["report"]["remarks"][0]["verdict"] == "applied"


def test_optimize_checks_on_given_data(model: Path, x: Array) -> None:
    np.savez("feeds.npz", x=x)
    command = ["optimize", model, "-o", "small.onnx", *PIPELINE, "--check", "numeric", "--data", "feeds.npz"]
    graphopt(*command)
    np.savez("feeds.npz", image=x)
    assert "no input 'image'" in complaint(*command, code=6)


def test_check_names_the_worst_output_and_exits_1(model: Path) -> None:
    save(network(seed=1), "other.onnx")
    assert graphopt("check", model, "other.onnx", code=1).startswith("different: output 'y' differs by up to")
    found = graphopt_json("check", model, "other.onnx", code=1)
    assert found["equal"] is False
    assert found["worst"]["output"] == "y"


def test_check_takes_the_shape_that_one_side_fixes(model: Path) -> None:
    graphopt("optimize", model, "-o", "fixed.onnx", "--pipeline", "", *SHAPE)
    assert graphopt_json("check", model, "fixed.onnx")["equal"] is True


def test_check_compares_only_what_takes_the_same_inputs(model: Path) -> None:
    other = network()
    other.graph.inputs[0].name = "image"
    save(other, "other.onnx")
    assert "cannot be compared" in complaint("check", model, "other.onnx", code=6)


def test_different_infinities_are_still_json(model: Path) -> None:
    other = load(model)
    other.graph.initializers["w"].const_value = ir.tensor(np.full((4, 3, 3, 3), np.inf, np.float32), name="w")
    save(other, "other.onnx")
    assert graphopt_json("check", model, "other.onnx", code=1)["worst"]["error"] is None


def test_compile_run_and_check_a_program(model: Path, x: Array) -> None:
    np.save("x.npy", x)
    assert graphopt_json("compile", model, "-o", "program", *SHAPE)["cached"] is False
    assert graphopt_json("compile", model, "-o", "program", *SHAPE)["cached"] is True
    assert "Conv" in graphopt("compile", model, "-o", "program", *SHAPE, "--explain")
    assert "[1, 4, 8, 8]" in graphopt("run", "program", "--input", "x=x.npy")
    graphopt("run", "program", "--input", "x=x.npy", "-o", "out.npz")
    assert np.load("out.npz")["y"].shape == (1, 4, 8, 8)
    assert graphopt("check", model, "program").startswith("equal")


def test_run_makes_seeded_inputs_and_says_so(model: Path) -> None:
    result = runner.invoke(build_app(), ["run", str(model), "--target", "onnxruntime", "--seed", "7"])
    assert "random, from seed 7" in result.stderr
    one, same, other = (
        graphopt_json("run", model, "--target", "onnxruntime", "--seed", seed)["outputs"] for seed in (7, 7, 8)
    )
    assert one == same != other
    assert one[0]["shape"] == [1, 4, 8, 8]


@pytest.mark.parametrize(
    ("arrays", "code", "words"),
    [
        ({"image": np.zeros((1, 3, 8, 8), np.float32)}, 7, "no input 'image'"),
        ({"x": np.zeros((1, 3, 8, 8), np.float64)}, 7, "must be float32"),
        ({"x": np.zeros((1, 3, 9, 8), np.float32)}, 7, "dimension 2 must be 8"),
        ({"x": np.array([None])}, 6, "numpy.save"),
    ],
)
def test_feeds_that_do_not_fit(model: Path, arrays: dict[str, Array], code: int, words: str) -> None:
    np.savez("feeds.npz", **arrays)
    assert words in complaint("run", model, "--target", "onnxruntime", "--input", "feeds.npz", code=code)


def test_an_input_given_twice(model: Path, x: Array) -> None:
    np.save("x.npy", x)
    assert "twice" in complaint("run", model, "--input", "x=x.npy", "--input", "x=x.npy", code=6)


def test_outputs_may_have_any_name(model: Path) -> None:
    renamed = load(model)
    renamed.graph.outputs[0].name = "file"
    save(renamed, model)
    graphopt("run", model, "--target", "onnxruntime", "-o", "out.npz")
    assert list(np.load("out.npz")) == ["file"]


@pytest.mark.parametrize("target", ["cpu", "onnxruntime"])
def test_files_keep_the_types_that_numpy_lacks(model: Path, target: str) -> None:
    save(network("g (bfloat16[4] x) => (bfloat16[4] y) { y = Identity (x) }"), model)
    graphopt("run", model, "--target", target, "-o", "out.npz")
    with np.load("out.npz") as held:
        assert held["y:bfloat16"].dtype == np.uint16
        np.save("x.npy", held["y:bfloat16"])
    graphopt("run", model, "--target", target, "--input", "x:bfloat16=x.npy", "-o", "again.npz")
    with np.load("out.npz") as first, np.load("again.npz") as second:
        np.testing.assert_array_equal(first["y:bfloat16"], second["y:bfloat16"])
    graphopt("check", model, model, "--seeds", 1)


def test_a_sequence_cannot_be_checked(model: Path) -> None:
    save(network("g (seq(float[2]) x) => (int64 y) { y = SequenceLength (x) }"), model)
    assert "input 'x' is of the kind sequence" in complaint("check", model, model, code=3)


def test_a_truncated_model_leaves_no_output(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:100])
    complaint("optimize", model, "-o", "small.onnx", "--pipeline", "", code=3)
    complaint("compile", model, "-o", "program", code=3)
    assert sorted(path.name for path in model.parent.iterdir() if path.name != "cache") == ["model.onnx"]


@pytest.mark.parametrize(
    ("line", "code", "mend"),
    [
        ("optimize program -o out.onnx", 3, "`graphopt run` takes; give the ONNX file"),
        ("profile program.gopt", 3, "`graphopt run` takes; give the ONNX file"),
        ("serve model.onnx", 3, "graphopt compile model.onnx -o model.gopt"),
        ("run program --input wrong.npz", 7, "`graphopt inspect program` shows what it takes"),
        ("why model.onnx nothing", 3, "`graphopt inspect --layers` lists them"),
        ("extract model.onnx -o out.onnx --outputs nothing", 3, "`graphopt inspect --text` shows its values"),
        ("optimize model.onnx -o out.onnx --pipeline fold", 4, "`graphopt passes` lists them"),
        ("quantize model.onnx -o out.onnx", 6, "give data to calibrate with, or take weights-int8"),
    ],
)
def test_an_error_names_what_to_do_next(line: str, code: int, mend: str, model: Path) -> None:
    np.savez("wrong.npz", x=np.zeros((1, 5, 8, 8), np.float32))
    if "program" in line:
        graphopt("compile", model, "-o", "program.gopt" if "gopt" in line else "program", "--target", "onnxruntime")
    assert mend in complaint(*line.split(), code=code)
