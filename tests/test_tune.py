"""`graphopt tune` and its database: what is kept, who reads it, and what is said. Nothing here asserts a time."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import graphopt
from graphopt.backends.tvm.tuning.places import TrackedMachines
from graphopt.backends.tvm.tuning.search import Comparison, Trial
from graphopt.benchmark import quiet
from graphopt.cli.main import build_app
from graphopt.compiler import tune as tuning
from graphopt.compiler import tuned
from graphopt.compiler.tuned import Record
from graphopt.errors import MeasurementError, OutputError, TargetError
from graphopt.ir.save import save
from graphopt.targets import host, parse_target
from tests.networks import network

CONV = """
g (float[N,8,9,9] x) => (float[N,32,9,9] y)
<float[32,8,5,5] w>
{ c = Conv <pads = [2,2,2,2]> (x, w)  y = Relu (c) }
"""
RECORD = Record("conv 1×4×9×9×8", {"tile": "3x1"}, 2e-3, 1e-3)
TARGET = parse_target("cpu{cores=1}")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(quiet, "QUIET", 1e9)
    save(network(CONV), tmp_path / "model.onnx")


class FakeMeter:
    """Finds every candidate faster than the reference; stands in for `Meter`."""

    width = 1
    interrupt_at = 10**9

    def __init__(self, *_: object) -> None:
        self._count = 0

    def __call__(self, trials: Sequence[Trial]) -> list[Comparison | None]:
        self._count += 1
        if self._count == self.interrupt_at:
            raise KeyboardInterrupt
        faster = [0.5 if trial.candidate != trial.reference else 1.0 for trial in trials]
        return [Comparison([1.0] * 8, [seconds] * 8) for seconds in faster]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeMeter]:
    monkeypatch.setattr(FakeMeter, "interrupt_at", 10**9)
    monkeypatch.setattr(tuning, "Meter", FakeMeter)
    return FakeMeter


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), [*map(str, arguments)])


def run_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_two_trials_end_to_end() -> None:
    found = run_json("tune", "model.onnx", "--trials", 2, "--target", "cpu{cores=1}", "--batch", 2)
    (kernel,) = found["kernels"]
    assert (found["trials"], kernel["trials"], kernel["wrong"], kernel["failed"]) == (2, 2, 0, 0)
    assert kernel["name"] == "conv_maximum 2×4×9×9×8" if host().lanes() == 8 else kernel["name"]
    assert found["before_ms"] > 0


def test_what_is_found_is_compiled_and_gives_the_same_answers(fake: type[FakeMeter]) -> None:
    x = np.random.default_rng(0).standard_normal((1, 8, 9, 9)).astype(np.float32)
    stages: list[str] = []
    before = graphopt.compile("model.onnx", TARGET, on_stage=stages.append)(x)["y"]
    result = graphopt.tune("model.onnx", TARGET, trials=3)
    (kernel,) = result.kernels
    assert kernel.choices is not None
    assert (result.before, result.after, result.trials) == (1.0, 0.5, 3)
    assert list(tuned.decisions(TARGET).values()) == [kernel.choices]
    stages.clear()
    module = graphopt.compile("model.onnx", TARGET, on_stage=stages.append)
    assert stages, "the program of before the tuning was served"
    np.testing.assert_allclose(module(x)["y"], before, rtol=0, atol=1e-5 * np.abs(before).max())
    stages.clear()
    graphopt.compile("model.onnx", TARGET, on_stage=stages.append)
    assert stages == []


def test_the_schedule_takes_what_was_found(fake: type[FakeMeter], monkeypatch: pytest.MonkeyPatch) -> None:
    from graphopt.backends.tvm.schedule.choices import Choices
    from graphopt.backends.tvm.schedule.kernel import KernelSchedule

    taken: list[Choices] = []

    def choose(kernel: KernelSchedule, *arguments: Any) -> Any:
        taken.append(kernel.choices)
        return kernel.choices.choose(*arguments)

    (kernel,) = graphopt.tune("model.onnx", TARGET, trials=1).kernels
    monkeypatch.setattr(KernelSchedule, "choose", choose)
    graphopt.compile("model.onnx", TARGET, cache=False)
    assert taken
    assert all(choices.taken == kernel.choices for choices in taken)


def test_the_next_search_goes_on_from_there(fake: type[FakeMeter]) -> None:
    first = graphopt.tune("model.onnx", TARGET, trials=1).kernels[0].choices
    seen: list[tuning.Tuning] = []
    graphopt.tune("model.onnx", TARGET, trials=1, on_progress=seen.append)
    assert first is not None
    assert seen[0].kernels[0].choices == first


def test_the_table_and_its_totals(fake: type[FakeMeter]) -> None:
    result = run("tune", "model.onnx", "--trials", 1, "--threads", 1)
    assert result.exit_code == 0, result.stderr
    assert "conv_maximum" in result.stdout
    assert "50.0%" in result.stdout
    assert "1000.000 ms → 500.000 ms a run, 50.0%" in result.stdout
    assert str(tuned.path()) in result.stdout
    (record,) = tuned.read().of(TARGET).values()
    assert record.after == 0.5


def test_what_was_found_outlives_an_interrupt(fake: type[FakeMeter], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "interrupt_at", 4)  # after the start, a trial, and its confirmation
    result = run("tune", "model.onnx", "--target", "cpu{cores=1}")
    assert result.exit_code == 130
    assert "50.0%" in result.stdout
    assert "interrupted after 1 trials; what they found is kept" in " ".join(result.stderr.split())
    assert len(tuned.decisions(TARGET)) == 1
    with pytest.raises(KeyboardInterrupt):
        graphopt.tune("model.onnx", TARGET)


def test_a_busy_machine_is_warned_of(fake: type[FakeMeter], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "QUIET", -1.0)
    assert "cores busy meanwhile: the times are not to be trusted" in run("tune", "model.onnx", "--trials", 1).stderr
    monkeypatch.setattr(quiet, "QUIET", 1e9)
    assert run("tune", "model.onnx", "--trials", 1).stderr == ""


def test_time_ends_a_search(fake: type[FakeMeter], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("graphopt.compiler.tune.time.monotonic", lambda: float(next(clock)))
    assert graphopt.tune("model.onnx", TARGET, seconds=5.0).trials < 5


def test_an_exhausted_space_ends_a_search(fake: type[FakeMeter], monkeypatch: pytest.MonkeyPatch) -> None:
    save(network("g (float[4,8] x) => (float[4,16] y) <float[8,16] w> { y = MatMul (x, w) }"), Path("dense.onnx"))
    assert 0 < graphopt.tune("dense.onnx", TARGET, trials=10_000).trials < 100


def test_a_model_without_knobs_is_done_at_once() -> None:
    save(network("g (float[4,3] x) => (float[4,3] y) { y = Neg (x) }"), Path("plain.onnx"))
    result = run("tune", "plain.onnx")
    assert result.exit_code == 0, result.stderr
    assert "nothing to choose" in result.stdout


def test_records_are_of_a_machine() -> None:
    tuned.store(TARGET, "a", RECORD)
    tuned.store(parse_target("cpu{cores=2}"), "b", RECORD)
    tuned.store(TARGET, "c", RECORD)
    assert tuned.read().of(TARGET) == {"a": RECORD, "c": RECORD}
    assert tuned.decisions(parse_target("cpu{cores=2}")) == {"b": {"tile": "3x1"}}
    assert tuned.decisions(parse_target("cpu{cores=3}")) == {}
    found = run_json("cache")
    assert (sorted(found["tuned"].values()), found["damage"], found["bytes"]) == ([1, 2], None, 0)
    assert "2 kernels on cpu" in run("cache").stdout


def test_programs_and_tuned_kernels_are_cleared_apart() -> None:
    tuned.store(TARGET, "a", RECORD)
    assert run_json("cache", "--clear")["removed"] == 0
    assert tuned.decisions(TARGET)
    assert run_json("cache", "--clear-tuned")["removed_tuned"] == 1
    assert tuned.read() == tuned.Contents({})
    assert "no kernel" in run("cache", "--clear-tuned").stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "\x00",
        '{"format": 1}',
        '{"format": 2, "machines": {}}',
        '{"format": 1, "machines": {"m": {"k": {}}}}',
        '{"format": 1, "machines": {"m": {"k": {"name": "", "choices": [], "before": 1, "after": 1}}}}',
    ],
)
def test_a_damaged_file_is_one_sentence_and_no_more(text: str, fake: type[FakeMeter]) -> None:
    tuned.check_place()
    tuned.path().write_text(text, encoding="utf-8")
    damage = tuned.read().damage
    assert str(tuned.path()) in damage
    assert "\n" not in damage
    assert tuned.decisions(TARGET) == {}
    assert run_json("cache")["damage"] == damage


def test_a_damaged_file_is_said_and_begun_anew(fake: type[FakeMeter]) -> None:
    tuned.check_place()
    tuned.path().write_bytes(b"\xff")
    compiled = run("compile", "model.onnx", "-o", "program", "--target", "cpu{cores=1}")
    assert compiled.exit_code == 0, compiled.stderr
    assert "kernels are scheduled by analysis" in " ".join(compiled.stderr.split())
    result = run("tune", "model.onnx", "--trials", 1, "--target", "cpu{cores=1}")
    assert result.exit_code == 0, result.stderr
    assert "it is begun anew" in " ".join(result.stderr.split())
    assert len(tuned.decisions(TARGET)) == 1


def test_a_full_disk_is_one_sentence(fake: type[FakeMeter], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match=r"cannot write '.*tuned.json': No space left on device"):
        graphopt.tune("model.onnx", TARGET, trials=1)
    assert not list(tuned.path().parent.iterdir())


def test_a_cache_that_cannot_be_made_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="cannot make the cache"):
        graphopt.tune("absent.onnx", TARGET)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--trials", "0"], 2, "0 is not in the range"),
        (["--time", "0"], 2, "0.0 is not in the range"),
        (["--key", "box"], 2, "--tracker and --key belong together"),
        (["--tracker", "localhost:9190"], 2, "--tracker and --key belong together"),
        (["--tracker", "nowhere", "--key", "box"], 9, "'nowhere' is no address of a tracker; write HOST:PORT"),
        (["--target", "onnxruntime"], 5, "the target onnxruntime has none; take cpu"),
        (["--target", "c"], 5, "tuning measures on this machine, and target c{weights=arrays} is another; take cpu"),
        (["--target", "cpu{colour=red}"], 5, "has no option 'colour'"),
        (["--batch", "2", "--input-shape", "x:1,8,9,9"], 3, "has the fixed batch 1"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, sentence: str) -> None:
    result = run("tune", "model.onnx", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


def test_what_the_function_refuses(fake: type[FakeMeter]) -> None:
    with pytest.raises(MeasurementError, match="trials=0 allows no measurement; give a number above 0"):
        graphopt.tune("model.onnx", trials=0)
    with pytest.raises(MeasurementError, match=r"seconds=0.0 allows no measurement"):
        graphopt.tune("model.onnx", seconds=0.0)
    with pytest.raises(TargetError, match="take cpu"):
        graphopt.tune("model.onnx", "onnxruntime")
    with pytest.raises(graphopt.ModelError, match="dimension 2 of input 'x' is free"):
        graphopt.tune(network("g (float[N,8,H,9] x) => (float[N,8,H,9] y) { y = Relu (x) }"))


def test_a_tracker_is_asked_for_its_servers(fake: type[FakeMeter], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def ask(self: TrackedMachines, address: str, key: str) -> None:
        asked.append((address, key))

    monkeypatch.setattr(TrackedMachines, "__init__", ask)
    found = run_json("tune", "model.onnx", "--trials", 1, "--tracker", "a:1", "--key", "box")
    assert (asked, found["trials"]) == ([("a:1", "box")], 1)
