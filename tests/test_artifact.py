"""A program in one file: saved, sent, loaded, mapped; and refused where it is not what was sent."""

from __future__ import annotations

import gc
import json
import shutil
import zipfile
from pathlib import Path
from typing import Never

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import graphopt
from graphopt.cli.main import build_app
from graphopt.errors import GraphoptError, OutputError
from graphopt.runtime import module as runtime
from graphopt.runtime.archive import Archive
from graphopt.runtime.manifest import FILE_NAME
from tests.benchmarks import concurrency
from tests.hostile_artifacts import ARTIFACTS, Artifact, members
from tests.networks import network

NATIVE = "g (float[N,4] x) => (float[N,8] y) <float[4,8] w, float[8] b> { m = MatMul (x, w)  y = Add (m, b) }"
MIXED = """
g (float[5,N,16] x) => (float[5,1,N,32] y)
<float[1,128,16] w, float[1,128,32] r> { a = Relu (x)  h = LSTM <hidden_size = 32> (a, w, r)  y = Tanh (h) }
"""
X = {"x": np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program of native code in one file, which no test may change."""
    path = tmp_path_factory.mktemp("artifact") / "model.gopt"
    graphopt.compile(network(NATIVE), cache=False).save(path)
    return path


@pytest.mark.parametrize(
    ("text", "shapes", "executors"),
    [
        (NATIVE, [[1, 4], [3, 4], [5, 4]], {"tvm"}),
        (MIXED, [[5, 1, 16], [5, 2, 16], [5, 3, 16]], {"tvm", "onnxruntime"}),
    ],
    ids=["native", "mixed"],
)
def test_a_program_in_one_file_gives_the_same_answers(
    text: str, shapes: list[list[int]], executors: set[str], tmp_path: Path
) -> None:
    module = graphopt.compile(network(text), shapes=[{"x": shape} for shape in shapes[:2]], cache=False)
    assert {place.executor for place in module.report.placements} == executors
    module.save(tmp_path / "model.gopt")
    loaded = graphopt.load(tmp_path / "model.gopt")
    for shape in shapes:  # of the last no native code
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        np.testing.assert_array_equal(loaded(x)["y"], module(x)["y"])


def test_the_forms_turn_into_each_other_byte_by_byte(artifact: Path, tmp_path: Path) -> None:
    graphopt.load(artifact).save(tmp_path / "folder")
    assert {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()} == members(artifact)
    graphopt.load(tmp_path / "folder").save(tmp_path / "again.gopt")
    assert (tmp_path / "again.gopt").read_bytes() == artifact.read_bytes()


def test_other_tools_read_the_file(artifact: Path) -> None:
    with zipfile.ZipFile(artifact) as file:
        assert file.testzip() is None
        assert {FILE_NAME, "optimized.onnx", "part-0.so", "weights.bin"} == set(file.namelist())


def test_members_are_mapped_at_pages_and_not_read(artifact: Path) -> None:
    contents = Archive(artifact)
    for name in members(artifact):
        view = contents.view(name)
        assert isinstance(view, np.memmap)
        assert view.ctypes.data % 4096 == 0


def test_code_leaves_nothing_on_the_disk(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    module = graphopt.load(artifact)
    assert not any(tmp_path.iterdir())
    module(X)


def test_where_code_cannot_be_unpacked_is_one_sentence(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="let TMPDIR name a writable place"):
        graphopt.load(artifact)


def test_a_file_does_not_take_the_place_of_a_directory(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gopt").mkdir()
    (tmp_path / "model.gopt" / "notes").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"):
        graphopt.load(artifact).save(tmp_path / "model.gopt")
    assert (tmp_path / "model.gopt" / "notes").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_program_says_where_its_model_came_from(tmp_path: Path) -> None:
    model = network(NATIVE)
    model.producer_name, model.producer_version = "trainer", "1.2"
    model.metadata_props.update({"model_license": "BSD-3-Clause\nRedistribution …", "classes": "cat,dog"})
    data = ir.to_proto(model).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data)
    graphopt.compile(tmp_path / "m.onnx", "onnxruntime", cache=False).save(tmp_path / "m.gopt")
    found = graphopt.load(tmp_path / "m.gopt").provenance
    assert found == graphopt.compile(data, "onnxruntime", cache=False).provenance
    assert (found.producer, found.producer_version) == ("trainer", "1.2")
    assert found.licence == "BSD-3-Clause\nRedistribution …"
    assert found.metadata["classes"] == "cat,dog"
    assert len(found.sha256) == 64
    assert not graphopt.compile(onnx.load_from_string(data), "onnxruntime", cache=False).provenance.sha256


def test_the_shell_compiles_runs_and_checks_one_file(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(ir.to_proto(network(NATIVE)).SerializeToString())
    model, program = str(tmp_path / "m.onnx"), str(tmp_path / "m.gopt")
    for line in (["compile", model, "-o", program, "--no-cache"], ["run", program], ["check", model, program]):
        result = CliRunner().invoke(build_app(), line)
        assert result.exit_code == 0, result.output
    assert zipfile.is_zipfile(program)
    result = CliRunner().invoke(build_app(), ["run", program, "--threads", "2"])
    assert result.exit_code == 2


def test_the_shell_says_what_a_program_is_without_running_it(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.CompiledModule, "__init__", lambda *_: pytest.fail("it was loaded"))
    result = CliRunner().invoke(build_app(), ["inspect", str(artifact)])
    assert result.exit_code == 0, result.output
    machine = json.loads(CliRunner().invoke(build_app(), ["inspect", str(artifact), "--json"]).stdout)["machine"]
    for said in ("native for", "runs in", machine["architecture"], f"TVM {machine['tvm_version']}"):
        assert said in result.output
    assert CliRunner().invoke(build_app(), ["inspect", str(artifact), "--text"]).exit_code == 2


@pytest.mark.parametrize("bad", ARTIFACTS, ids=lambda bad: bad.id)
def test_a_bad_artifact_is_one_sentence_and_nothing_of_it_runs(
    bad: Artifact, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> Never:
        pytest.fail("it was loaded")

    copy = tmp_path / "model.gopt"
    shutil.copy(artifact, copy)
    bad.damage(copy)
    monkeypatch.setattr("graphopt.backends.tvm.executor.load_code", run)
    monkeypatch.setattr(runtime, "_session", run)
    with pytest.raises(bad.error, match=bad.says) as caught:
        graphopt.load(copy)
    assert type(caught.value) is bad.error
    assert "\n" not in str(caught.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_any_byte_altered_is_a_sentence_or_the_same_answer(artifact: Path, place: float, bits: int) -> None:
    data = bytearray(artifact.read_bytes())
    data[int(place * len(data))] ^= bits
    altered = artifact.with_name("altered.gopt")
    altered.unlink(missing_ok=True)  # what lies there may be mapped
    altered.write_bytes(data)
    answer = expected = graphopt.load(artifact)(X)["y"]
    sentence = ""
    try:
        answer = graphopt.load(altered)(X)["y"]
    except GraphoptError as error:
        sentence = str(error)
    assert "\n" not in sentence
    np.testing.assert_array_equal(answer, expected)


def test_a_file_cut_anywhere_is_refused(artifact: Path, tmp_path: Path) -> None:
    data = artifact.read_bytes()
    for index, length in enumerate(np.random.default_rng(0).integers(0, len(data), 50)):
        path = tmp_path / f"{index}.gopt"
        path.write_bytes(data[:length])
        with pytest.raises(GraphoptError, match="no compiled program, or is truncated"):
            graphopt.load(path)


def test_processes_and_threads_share_one_artifact(tmp_path: Path) -> None:
    program = concurrency.compiled(tmp_path / "wide.gopt", threads=1)
    found = concurrency.run(program, seconds=1)
    assert concurrency.passed(found, program), found
    weights = 4 * 1024 * 2048
    assert all(one.resident > weights for one in found)  # so that it is the weights that are shared


def test_programs_come_and_go_without_a_trace(artifact: Path) -> None:
    def mapped() -> set[str]:
        lines = Path("/proc/self/maps").read_text().splitlines()
        return {line for line in lines if "graphopt-" in line or str(artifact) in line}

    before = mapped()  # programs of other tests
    for _ in range(30):
        outputs = graphopt.load(artifact)(X)
    gc.collect()
    assert mapped() <= before
    np.testing.assert_array_equal(outputs["y"], graphopt.load(artifact)(X)["y"])
