"""Whatever is handed over, the end is an answer or one sentence, and nothing on the disk has changed."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import graphopt
from graphopt import catalog
from graphopt.cli.main import build_app
from graphopt.errors import GraphoptError, ModelError, OutputError
from graphopt.ir.load import load
from graphopt.ir.save import save
from tests.arrangements import proto
from tests.hostile import BAD, Bad, Interrupt, Late
from tests.hostile_commands import COMMANDS, PROGRAMS, Command, Program
from tests.mutations import mutated
from tests.odd_models import SEEDS, WORKING, Working

LONGEST_SENTENCE = 300
INTERRUPTED = 130

Attempt = Callable[[Bad, Path, Path], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which everything happens, what is temporary included."""
    known = dict(catalog.passes()) | {Interrupt.name: Interrupt, Late.name: Late}
    monkeypatch.setattr("graphopt.compiler.optimize.passes", lambda: known)
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "cache").mkdir()
    return tmp_path


def optimize(bad: Bad, model: Path, place: Path) -> None:
    optimized, _ = graphopt.optimize(
        model, bad.pipeline or "O2", target=bad.target or "cpu", shapes=bad.shapes, reproducer_folder=place.parent
    )
    save(optimized, place)


def compile_cached(bad: Bad, model: Path, place: Path, *, cache: bool = True) -> None:
    program = graphopt.compile(
        model, bad.target or "onnxruntime", shapes=bad.shapes, pipeline=bad.pipeline or "O2", cache=cache
    )
    if bad.feeds is not None:
        program(bad.feeds)
    program.save(place)


def compile_uncached(bad: Bad, model: Path, place: Path) -> None:
    compile_cached(bad, model, place, cache=False)


def rows(attempt: Attempt) -> list[object]:
    return [pytest.param(attempt, bad, id=f"{attempt.__name__}-{bad.id}") for bad in BAD if bad.applies_to(attempt)]


@pytest.mark.parametrize(("attempt", "bad"), [*rows(optimize), *rows(compile_cached), *rows(compile_uncached)])
def test_a_bad_input_ends_in_one_sentence(attempt: Attempt, bad: Bad, folder: Path) -> None:
    model = bad.model(folder)
    before = snapshot(folder)
    try:
        with files_limited_to(bad.disk):
            attempt(bad, model, folder / bad.place)
    except bad.error as error:
        sentence = str(error).replace(str(folder), "")
    else:
        pytest.fail("it was accepted")
    assert bad.says in sentence
    assert "\n" not in sentence
    assert len(sentence) < LONGEST_SENTENCE
    assert snapshot(folder) == before


def commands(name: str) -> list[object]:
    return [pytest.param(name, bad, id=f"{name}-{bad.id}") for bad in BAD if bad.is_command(name)]


@pytest.mark.parametrize(("command", "bad"), [*commands("optimize"), *commands("compile"), *commands("run")])
def test_a_bad_input_ends_in_one_line_on_stderr(command: str, bad: Bad, folder: Path) -> None:
    arguments = bad.arguments(command, folder)
    before = snapshot(folder)
    with files_limited_to(bad.disk):
        result = CliRunner().invoke(build_app(), arguments)
    line = result.stderr.replace(str(folder), "")
    assert result.exit_code == (bad.error.exit_code if issubclass(bad.error, GraphoptError) else INTERRUPTED)
    assert result.stdout == ""
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert bad.says in line
    assert snapshot(folder) == before


UTILITIES = {"extract": ["--outputs", "y"], "rename": ["--prefix", "p"], "reshape": ["--batch", "N"]}
BROKEN = [bad for bad in BAD if bad.error in {ModelError, OutputError} and not (bad.target or bad.shapes or bad.feeds)]


@pytest.mark.parametrize("command", UTILITIES)
@pytest.mark.parametrize("bad", [bad for bad in BROKEN if not bad.pipeline], ids=lambda bad: bad.id)
def test_every_command_ends_in_one_line_on_stderr(command: str, bad: Bad, folder: Path) -> None:
    arguments = [command, str(bad.model(folder)), *UTILITIES[command], "-o", str(folder / bad.place)]
    before = snapshot(folder)
    with files_limited_to(bad.disk):
        result = CliRunner().invoke(build_app(), arguments)
    if result.exit_code == 0:
        pytest.skip("what is wrong does not concern it")
    assert result.exit_code in {ModelError.exit_code, OutputError.exit_code}
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)
    assert snapshot(folder) == before


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.id)
def test_a_bad_command_line_is_refused(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    command.prepare(folder)
    before = snapshot(folder)
    result = CliRunner().invoke(build_app(), command.line.split())
    assert result.exit_code == command.code
    assert command.says in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert snapshot(folder) == before


@pytest.mark.parametrize("row", ["truncated-at-the-half", "unknown-pass"])
def test_a_process_leaves_one_line_and_a_code(row: str, folder: Path) -> None:
    bad = next(bad for bad in BAD if bad.id == row)
    arguments = [sys.executable, "-m", "graphopt", *bad.arguments("optimize", folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (getattr(bad.error, "exit_code", None), "", 1)
    assert bad.says in done.stderr


@pytest.mark.parametrize("working", WORKING, ids=lambda working: working.id)
@pytest.mark.parametrize("target", ["cpu", "onnxruntime"])
def test_what_looks_odd_and_is_valid_works(target: str, working: Working, folder: Path) -> None:
    expected = onnxruntime.InferenceSession(working.data, providers=["CPUExecutionProvider"]).run(None, working.feeds)
    outputs = graphopt.compile(working.data, target)(working.feeds)
    for answer, reference in zip(outputs.values(), expected, strict=True):
        assert (answer.shape, answer.dtype) == (reference.shape, reference.dtype)
        np.testing.assert_array_equal(answer, reference)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "program"
    graphopt.compile(SEEDS[0], "cpu", cache=False).save(path)
    return path


@pytest.mark.parametrize("damaged", PROGRAMS, ids=lambda damaged: damaged.id)
def test_a_damaged_program_is_one_sentence(damaged: Program, program: Path, tmp_path: Path) -> None:
    copy = tmp_path / "program"
    shutil.copytree(program, copy)
    damaged.damage(copy)
    with pytest.raises(ModelError, match=damaged.says) as caught:
        graphopt.load(copy)(np.ones((2, 3), np.float32))  # not the batch that it was compiled for
    assert "\n" not in str(caught.value)


def test_a_file_cut_anywhere_is_refused() -> None:
    data = proto(header='<ir_version: 9, opset_import: ["" : 17]>').SerializeToString()
    for length in range(len(data)):
        with pytest.raises(ModelError, match="truncated|empty|holds no graph"):
            load(data[:length])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.sampled_from(SEEDS), rng=st.randoms(use_true_random=False))
def test_a_model_broken_by_chance_is_a_model_or_one_sentence(seed: onnx.ModelProto, rng: Random) -> None:
    sentence = ""
    try:
        graphopt.optimize(mutated(seed, rng), "O2")
    except ModelError as error:
        sentence = str(error)
    assert "\n" not in sentence


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return bytes and time of change of every file and folder; programs that the cache keeps do not count."""
    found = (path for path in folder.rglob("*") if not kept_by_cache(path, folder))
    return {str(path): (path.read_bytes(), path.lstat().st_mtime_ns) if path.is_file() else (b"", 0) for path in found}


def kept_by_cache(path: Path, folder: Path) -> bool:
    first, *rest = path.relative_to(folder).parts
    return first == "cache" and bool(rest) and not rest[0].startswith(".")


@contextmanager
def files_limited_to(size: int | None) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: writing fails with an OSError, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
