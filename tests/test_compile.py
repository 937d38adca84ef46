from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Never

import numpy as np
import onnx_ir as ir
import pytest

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.backends.tvm.compile import CodegenError
from graphopt.compiler import emit
from graphopt.errors import ModelError, OutputError, RunError, TargetError
from graphopt.numerics import differences
from graphopt.pipeline.numeric_check import NumericCheck
from graphopt.runtime.folder import Folder
from graphopt.runtime.manifest import Manifest
from tests.networks import CONV_BN_RELU, network

FALLBACK = """
g (float[N,4] x) => (float[N,4] y, int64[N,4] order)
{
    a = Relu (x)
    k = Constant <value_ints = [4]> ()
    top, order = TopK <axis = 1> (a, k)
    u = LpNormalization (top)
    y = Sigmoid (u)
}
"""


pytestmark = pytest.mark.usefixtures("own_cache")


def agree(model: ir.Model, module: graphopt.CompiledModule, batch: int) -> None:
    shapes = {spec.name: [batch, *spec.shape[1:]] for spec in module.inputs if spec.shape}
    feeds = random_feeds(model, seed=batch, shapes=shapes)
    worst = differences(evaluate(model, feeds), module.run(feeds))[0]
    assert worst.error <= 1e-5, worst


@pytest.mark.parametrize("target", ["cpu", "cpu{cores=1}", "onnxruntime"])
@pytest.mark.parametrize("text", [CONV_BN_RELU, FALLBACK], ids=["conv", "fallback"])
def test_a_program_gives_the_answers_of_its_model_at_any_batch(text: str, target: str) -> None:
    model = network(text)
    module = graphopt.compile(model, target=target)
    for batch in (1, 3):
        agree(model, module, batch)
    assert [spec.name for spec in module.outputs] == [value.name for value in model.graph.outputs]
    assert module.target.startswith(target.partition("{")[0])


def test_shapes_choose_what_code_is_made_for() -> None:
    model = network()
    module = graphopt.compile(model, shapes={"x": [2, 3, 8, 8]})
    assert module.inputs[0].shape == (2, 3, 8, 8)
    agree(model, module, 2)
    with pytest.raises(RunError, match="dimension 0 must be 2"):
        module(np.zeros((1, 3, 8, 8), np.float32))


def test_a_free_height_runs_in_onnxruntime_and_says_why() -> None:
    model = network("g (float[1,3,H,8] x) => (float[1,3,H,8] y) { y = Relu (x) }")
    module = graphopt.compile(model, cache=False)
    assert module.report.notes == ("dimension 2 of input 'x' is free; fix it with shapes= or --input-shape",)
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 8)).astype(np.float32)
    np.testing.assert_array_equal(module(x)["y"], np.maximum(x, 0))


def test_two_unnamed_dimensions_are_not_taken_for_one() -> None:
    model = network("g (float[?,3,?,8] x) => (float[?,3,?,8] y) { y = Relu (x) }")
    module = graphopt.compile(model, pipeline="O0", cache=False)
    assert "dimension 2 of input 'x' is free" in module.report.notes[0]


def test_the_report_says_who_runs_what_and_why() -> None:
    report = graphopt.compile(network(FALLBACK), cache=False).report
    places = {placement.node.split()[0]: placement for placement in report.placements}
    assert places["Relu"].executor == "tvm"
    assert all(placement.reason for placement in report.placements if placement.executor == "onnxruntime")
    assert report.optimization["before"]["nodes"] == 4
    assert set(report.seconds) == {"optimize", "specialize", "generate code"}
    json.dumps(report.to_dict())


def test_the_report_says_that_onnxruntime_runs_what_tvm_failed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Never:
        raise CodegenError("ValueError: no")

    monkeypatch.setattr(emit, "compile_region", fail)
    model = network(CONV_BN_RELU)
    module = graphopt.compile(model, cache=False)
    assert {(place.executor, place.reason) for place in module.report.placements} == {
        ("onnxruntime", "TVM failed on it: ValueError: no")
    }
    assert any("since TVM failed on it: ValueError: no" in note for note in module.report.notes)
    agree(model, module, 1)


def test_outputs_that_are_constants_or_inputs_are_answered() -> None:
    model = network(
        """
        g (float[2] x) => (float[2] same, float[2] known, float[2] y)
        { same = Identity (x)  c = Constant <value_floats = [1.0, 2.0]> ()  known = Neg (c)  y = Neg (x) }
        """
    )
    outputs = graphopt.compile(model, cache=False)(np.float32([3, 4]))
    assert {name: array.tolist() for name, array in outputs.items()} == {
        "same": [3, 4],
        "known": [-1, -2],
        "y": [-3, -4],
    }


@pytest.mark.parametrize("target", ["cpu", "onnxruntime"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "g (seq(float[2]) x, int64 i) => (float[2] y) { y = SequenceAt (x, i) }",
            "input 'x' is of the kind sequence",
        ),
        ("g (float[2] x) => (seq(float[2]) y) { y = SequenceConstruct (x) }", "output 'y' is of the kind sequence"),
        (
            "g (optional(float[2]) x) => (bool y) { y = OptionalHasElement (x) }",
            "input 'x' is of the kind optional",
        ),
    ],
)
def test_what_is_no_tensor_is_refused_at_the_border(text: str, words: str, target: str) -> None:
    with pytest.raises(ModelError, match=words):
        graphopt.compile(network(text), target)
    with pytest.raises(ModelError, match=words):
        graphopt.optimize(network(text), check=NumericCheck())


def test_a_sequence_may_go_from_part_to_part() -> None:
    """The first of onnxruntime's parts makes it, the second reads it where the code between them says."""
    model = network(
        """
        g (float[2] x, float[2] z) => (float[2] y)
        {
            s = SequenceConstruct (x, z)  n = SequenceLength (s)  one = Constant <value_int = 1> ()
            last = Sub (n, one)  y = SequenceAt (s, last)
        }
        """
    )
    x, z = np.float32([1, 2]), np.float32([3, 4])
    program = graphopt.compile(model, cache=False)
    np.testing.assert_array_equal(program(x, z)["y"], z)
    assert {placement.executor for placement in program.report.placements} == {"tvm", "onnxruntime"}


def test_arguments_go_by_position_or_by_name() -> None:
    module = graphopt.compile(network("g (float[2] a, float[2] b) => (float[2] y) { y = Sub (a, b) }"), cache=False)
    a, b = np.float32([5, 6]), np.float32([1, 2])
    for outputs in (module(a, b), module({"b": b, "a": a}), module.run({"a": a, "b": b})):
        np.testing.assert_array_equal(outputs["y"], a - b)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "has 2 inputs .a: float32.2., b: float32.2.., 0 given"),
        (({"a": np.zeros(2, np.float32)},), "input 'b' is missing"),
        (({"a": np.zeros(2, np.float32), "c": np.zeros(2, np.float32)},), "no input 'c'; it has a: float32"),
        (
            (np.zeros(2), np.zeros(2, np.float32)),
            r"'a' must be float32, got float64; convert it with .astype\('float32'\)",
        ),
        ((np.zeros(3, np.float32), np.zeros(2, np.float32)), "dimension 0 must be 2"),
        ((np.zeros((1, 2), np.float32), np.zeros(2, np.float32)), "'a' has 2 dimensions, the model takes a: float32"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: tuple[object, ...], sentence: str) -> None:
    module = graphopt.compile(network("g (float[2] a, float[2] b) => (float[2] y) { y = Sub (a, b) }"))
    with pytest.raises(RunError, match=sentence):
        module(*arguments)


def test_dimensions_of_one_symbol_must_agree() -> None:
    module = graphopt.compile(network("g (float[N] a, float[N] b) => (float[N] y) { y = Sub (a, b) }"))
    with pytest.raises(RunError, match="dimension 0 must be 3"):
        module(np.zeros(3, np.float32), np.zeros(4, np.float32))


def test_non_contiguous_and_read_only_arrays_are_taken() -> None:
    model = network()
    module = graphopt.compile(model)
    x = np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    x.setflags(write=False)
    expected = evaluate(model, {"x": x})
    assert differences(expected, module(x))[0].error <= 1e-5


def test_outputs_are_the_callers_to_keep() -> None:
    module = graphopt.compile(network())
    first = module(np.ones((1, 3, 8, 8), np.float32))["y"]
    kept = first.copy()
    module(np.full((1, 3, 8, 8), -2, np.float32))
    np.testing.assert_array_equal(first, kept)


def test_several_threads_call_one_module() -> None:
    model = network()
    module = graphopt.compile(model)
    inputs = [np.random.default_rng(seed).standard_normal((1, 3, 8, 8)).astype(np.float32) for seed in range(8)]
    expected = [evaluate(model, {"x": x})["y"] for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for want, got in zip(expected, pool.map(lambda x: module(x)["y"], inputs), strict=True):
                np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_saved_program_runs_without_the_compiler(tmp_path: Path) -> None:
    model = network()
    path = tmp_path / "my program"
    graphopt.compile(model).save(path)
    np.save(tmp_path / "x.npy", np.ones((1, 3, 8, 8), np.float32))
    script = """
import sys, numpy as np, graphopt
folder = sys.argv[1]
y = graphopt.load(folder + "/my program")(np.load(folder + "/x.npy"))["y"]
np.save(folder + "/y.npy", y)
heavy = {"onnx", "onnx_ir", "passes", "networkx", "graphopt.compiler", "graphopt.backends.tvm.lower"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    expected = evaluate(model, {"x": np.ones((1, 3, 8, 8), np.float32)})["y"]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-5)


def test_saving_where_nothing_can_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        graphopt.compile(network()).save(tmp_path / "file" / "program")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "error", "sentence"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), ModelError, "is no compiled program"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), ModelError, "is damaged"),
        (lambda folder: (folder / "manifest.json").write_text("{"), ModelError, "is damaged"),
        (lambda folder: (folder / "manifest.json").write_text('{"format_version": 7}'), ModelError, "is damaged"),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format_version": 1, "parts": []}'),
            ModelError,
            "has format 1, this graphopt reads 7; compile the model again",
        ),
        (lambda folder: _truncate(folder / "weights.bin"), ModelError, "is not the file that was compiled"),
        (lambda folder: (folder / "manifest.json").write_text('{"format_version": 99}'), ModelError, "has format 99"),
        (lambda folder: (folder / "part-0.so").unlink(), ModelError, "lacks its file 'part-0.so'"),
        (lambda folder: _truncate(folder / "part-0.so"), ModelError, "is not the file that was compiled"),
        (lambda folder: _truncate(folder / "optimized.onnx"), ModelError, "is not the file that was compiled"),
    ],
)
def test_a_program_that_cannot_be_loaded_is_one_sentence(tmp_path: Path, damage, error, sentence) -> None:  # type: ignore[no-untyped-def]  # lambdas
    folder = tmp_path / "program"
    graphopt.compile(network()).save(folder)
    damage(folder)
    with pytest.raises(error, match=sentence):
        graphopt.load(folder)


def test_the_manifest_reads_back_equal(tmp_path: Path) -> None:
    graphopt.compile(network()).save(tmp_path / "program")
    manifest = Manifest.read(Folder(tmp_path / "program"))
    (tmp_path / "copy").mkdir()
    manifest.write(tmp_path / "copy")
    assert Manifest.read(Folder(tmp_path / "copy")) == manifest


def test_threads_below_one_are_refused() -> None:
    with pytest.raises(TargetError, match="threads=0 must be at least 1"):
        graphopt.compile(network(), threads=0)


def test_a_module_measures_itself_and_prints() -> None:
    module = graphopt.compile(network())
    timing = module.benchmark(np.ones((1, 3, 8, 8), np.float32), repeats=5)
    assert len(timing.samples) == 5
    assert 0 < timing.best <= timing.median
    assert "5 runs" in str(timing)
    assert repr(module).startswith("CompiledModule(x: float32[N, 3, 8, 8] -> y: float32[N, 4, 8, 8]; cpu")


def test_the_public_names_are_all_there() -> None:
    for name in graphopt.__all__:
        assert getattr(graphopt, name)
    assert set(graphopt.__all__) <= set(dir(graphopt))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        graphopt.nothing  # noqa: B018
