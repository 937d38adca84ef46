"""Contests between runtimes: cases, workers, turns and what is made of them. Nothing here asserts a time."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

from graphopt.benchmark import quiet, resident, runtimes
from graphopt.benchmark.case import Case, Recipe, open_case
from graphopt.benchmark.contest import Outcome, Score, compete
from graphopt.benchmark.quiet import OtherLoad, Watch, busy_seconds
from graphopt.benchmark.runtimes import OPPONENTS, SELF, loader_of
from graphopt.benchmark.turn import Turn, answer, take_turn
from graphopt.benchmark.worker import Worker
from graphopt.cli.scores import tables
from graphopt.errors import MeasurementError, ModelError, RunError
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.runtime.benchmark import BURST, SETTLING_RUNS
from graphopt.targets import Precision, parse_target
from graphopt.tensors import Feeds
from tests.benchmarks import names
from tests.benchmarks.names import chosen
from tests.fake_runtimes import FAKES
from tests.networks import network

RECIPE = Recipe(parse_target("onnxruntime{cores=1}"), "O1")
SCALE = "g (float[N,3] x) => (float[N,3] y) { y = Add (x, x) }"


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHOPT_CACHE", str(tmp_path / "cache"))
    for name, runtime in FAKES.items():
        monkeypatch.setitem(OPPONENTS, name, runtime)


def case(folder: Path, text: str = SCALE, batch: int | None = None) -> Case:
    save(network(text), folder / "model.onnx")
    return open_case(folder / "model.onnx", batch, RECIPE)


def test_all_sides_run_the_same_case_in_turns(tmp_path: Path) -> None:
    outcome = compete(case(tmp_path), ["onnxruntime", *FAKES], repeats=BURST + 1)
    scores = outcome.scores
    assert list(scores) == [SELF, "onnxruntime", *FAKES]
    for name in (SELF, "onnxruntime", "wrong"):
        assert [len(turn.samples) for turn in scores[name].turns] == [BURST, 1]
        assert (scores[name].threads, scores[name].failure) == (1, "")
    assert scores["onnxruntime"].is_equal
    assert scores[SELF].note == "onnxruntime runs 1 of its 1 nodes"
    assert not scores["wrong"].is_equal
    assert not outcome.is_equal
    assert scores["greedy"].failure == "greedy uses 2 threads where 1 were asked for"
    assert scores["broken"].failure == "it fails with LookupError: no such operator"
    assert "the process of mortal was ended by SIGKILL" in scores["mortal"].failure
    assert set(outcome.ratios) == {"onnxruntime", "wrong"}
    assert outcome.ratios["wrong"].spread is None
    assert not multiprocessing.active_children()


def test_graphopt_itself_may_not_fail(tmp_path: Path) -> None:
    out_of_range = "g (int64[4] x) => (float[4] y) <float[1] w> { y = Gather (w, x) }"
    with pytest.raises(RunError, match="cannot run the model on these inputs"):
        compete(case(tmp_path, out_of_range), [], repeats=4)
    assert not multiprocessing.active_children()


def test_an_interrupt_leaves_no_worker(tmp_path: Path) -> None:
    def interrupt(step: str, done: int, total: int | None) -> None:
        if step.startswith("running"):
            assert len(multiprocessing.active_children()) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compete(case(tmp_path), ["onnxruntime"], repeats=4, on_step=interrupt)
    assert not multiprocessing.active_children()


def test_a_worker_serves_until_it_is_closed(tmp_path: Path) -> None:
    opened = case(tmp_path)
    with Worker("it", OPPONENTS["onnxruntime"], opened.write_model(tmp_path, "onnxruntime"), 1, opened.feeds) as worker:
        np.testing.assert_array_equal(worker.ask(answer)["y"], 2 * opened.feeds["x"])
        with pytest.raises(MeasurementError, match="it fails with TypeError: "):
            worker.ask(len)  # type: ignore[arg-type]
        assert list(worker.ask(answer)) == ["y"]
    with pytest.raises(MeasurementError, match="the process of it was ended by SIGTERM"):
        worker.ask(answer)


def test_a_turn_settles_and_then_takes_the_runs_that_were_asked_for() -> None:
    runs: list[int] = []

    def run() -> Feeds:
        runs.append(len(runs))
        return {"y": np.ones(len(runs))}

    turn = take_turn(run, count=3)
    assert (len(turn.samples), len(runs)) == (3, 3 + SETTLING_RUNS)
    assert turn.slept
    assert list(answer(run)["y"]) == [1] * len(runs)


@pytest.mark.parametrize(("batch", "size"), [(None, 1), (8, 8)])
def test_free_leading_dimensions_take_the_batch(tmp_path: Path, batch: int | None, size: int) -> None:
    two = "g (float[N,3] x, float[M,3,N] z) => (float[M,3,3] y) { y = MatMul (z, x) }"
    opened = case(tmp_path, two, batch)
    assert {name: array.shape for name, array in opened.feeds.items()} == {"x": (size, 3), "z": (size, 3, size)}
    assert opened.batch == size
    assert [value.shape for value in opened.model.graph.outputs] == [(size, 3, 3)]


def test_a_fixed_batch_stays(tmp_path: Path) -> None:
    fixed = SCALE.replace("N", "4")
    assert case(tmp_path, fixed).batch == case(tmp_path, fixed, 4).batch == 4
    with pytest.raises(ModelError, match=r"has the fixed batch 4; free it by `graphopt reshape .* to run batch 8"):
        case(tmp_path, fixed, 8)


def test_only_tensors_are_fed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="input 'x' is of the kind sequence"):
        case(tmp_path, "g (seq(float[2]) x) => (int64 y) { y = SequenceLength (x) }")


def test_a_scalar_has_no_batch(tmp_path: Path) -> None:
    assert case(tmp_path, "g (float x) => (float y) { y = Neg (x) }", 8).batch is None


def test_the_ratio_is_of_medians_and_its_spread_of_turns(tmp_path: Path) -> None:
    def score(*times: float) -> Score:
        return Score(turns=[Turn((time, time, time), cores=1, used=1, slept=True) for time in times])

    ours, theirs = score(1, 2, 4, 8, 8), score(2, 4, 8, 16, 16)
    ratio = Outcome(case(tmp_path), {SELF: ours, "it": theirs}, None).ratios["it"]
    assert (ratio.value, ratio.spread) == (2, 0)


def test_memory_is_what_a_process_had_at_most() -> None:
    before = resident.peak_resident()
    assert before is not None
    taken = np.ones(2 * before // 8)
    assert resident.peak_resident() >= taken.nbytes
    del taken
    assert resident.peak_resident() >= 2 * before - 8, "it does not fall"


@pytest.mark.parametrize("content", [None, "VmRSS: 1 kB"])
def test_a_system_that_does_not_tell_leaves_memory_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    status = tmp_path / "status"
    if content is not None:
        status.write_text(content)
    monkeypatch.setattr(resident, "_STATUS", status)
    assert resident.peak_resident() is None


def test_what_a_side_takes_beyond_its_share_is_remarked(tmp_path: Path) -> None:
    greedy = Turn((1.0,), cores=2.5, used=1, slept=False)
    scores = {
        SELF: Score(threads=2, turns=[replace(greedy, cores=2.0, slept=True)]),
        "it": Score(threads=2, turns=[greedy]),
    }
    *_, summary = tables([Outcome(case(tmp_path), scores, None)], 2)
    assert isinstance(summary, Table)
    cells = [str(cell) for cell in summary.columns[1].cells]
    assert "model, batch 1: it kept 2.50 cores busy with 2 threads" in cells
    assert "model, batch 1: the threads of it did not sleep in the turns of others" in cells
    assert not any(f"{SELF} kept" in cell for cell in cells)


STAT = """cpu  600 0 400 9000 0 0 0 0 0 0
cpu0 100 1 20 4000 500 3 4 5 60 7
cpu1 500 0 380 5000 0 0 0 0 0 0
cpu10 7 0 0 0
intr 1 2 3
"""


def test_busy_time_is_that_of_the_cores_in_use() -> None:
    assert busy_seconds(STAT, {0}, 100) == 1.33
    assert busy_seconds(STAT, {0, 1}, 100) == 1.33 + 8.8
    assert busy_seconds(STAT, {10}, 100) == 0.07


def test_what_others_used_is_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter([10.0, 15.0])
    monkeypatch.setattr(quiet, "read_busy", lambda: next(busy))
    load = Watch().stop(ours=2.0)
    assert load is not None
    assert load.stolen == pytest.approx(3.0, abs=0.5)


def test_a_system_without_counters_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quiet, "_COUNTERS", tmp_path / "none")
    assert Watch().stop() is None


def test_loads_add_up() -> None:
    assert (OtherLoad(3, 2) + OtherLoad(1, 2)).cores == 1
    assert str(OtherLoad(1, 2)) == "other programs kept 0.50 cores busy"
    assert OtherLoad(-1, 10).is_quiet
    assert OtherLoad().is_quiet
    assert not OtherLoad(2, 10).is_quiet


def test_an_opponent_that_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda _: None)
    with pytest.raises(MeasurementError, match="opponent openvino is not installed; run: pip install openvino"):
        runtimes.check_installed("openvino")


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is no dependency of the tests: extra `bench`")
def test_openvino_answers_and_says_its_threads(tmp_path: Path) -> None:
    names = "g (float[N,3] x) => (float[N,3] z, float[N,3] y, float[N,3] x2) { a = Relu (x)\n y = Identity (a)\n"
    outcome = compete(case(tmp_path, names + " z = Neg (a)\n x2 = Identity (x) }"), ["openvino"], repeats=4)
    score = outcome.scores["openvino"]
    assert (score.failure, score.threads, score.is_equal) == ("", 1, True)


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is no dependency of the tests: extra `bench`")
@pytest.mark.parametrize("precision", Precision)
def test_openvino_is_asked_for_the_precision_of_the_program(tmp_path: Path, precision: Precision) -> None:
    path = case(tmp_path).write_model(tmp_path, "onnxruntime")
    side = loader_of(OPPONENTS["openvino"].at(precision))(path, 1)
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(next(iter(side.run({"x": x}).values())), 2 * x)
    assert OPPONENTS["openvino"].at(precision).loader.endswith("bf16") is (precision is Precision.BF16)
    assert OPPONENTS["onnxruntime"].at(precision) == OPPONENTS["onnxruntime"]


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is no dependency of the tests: extra `bench`")
def test_openvino_says_what_it_does_not_take(tmp_path: Path) -> None:
    from graphopt.benchmark.openvino import load

    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match="OpenVINO does not accept the model: Unable to read the model"):
        load(tmp_path / "model.onnx", 1)


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is no dependency of the tests: extra `bench`")
@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_a_picture_has_a_bar_for_what_ran(tmp_path: Path, name: str, start: bytes) -> None:
    from graphopt.benchmark.plot import draw

    turn = Turn((1.0, 2.0, 3.0, 4.0), cores=1, used=1, slept=True)
    scores = {SELF: Score(turns=[turn]), "it": Score(turns=[turn]), "other": Score(failure="no")}
    draw([Outcome(case(tmp_path), scores, None)], tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "model.onnx"])


def test_a_picture_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphopt import pictures

    monkeypatch.setattr(pictures, "find_spec", lambda _: None)
    with pytest.raises(MeasurementError, match="which is not installed; run: pip install matplotlib"):
        pictures.check_installed()


def test_an_opponent_gets_the_file_in_its_own_form(tmp_path: Path) -> None:
    opened, other = case(tmp_path), tmp_path / "other.onnx"
    changed = load(opened.source)
    changed.graph.name = "other"
    save(changed, other)
    formed = replace(opened, forms={"openvino": other})
    assert load(formed.write_model(tmp_path, "openvino")).graph.name == "other"
    assert load(formed.write_model(tmp_path, "onnxruntime")).graph.name == opened.model.graph.name


def test_a_row_that_no_table_has_is_answered_with_those_there_are() -> None:
    assert chosen([], {"a": 1, "b": 2}) == ["a", "b"]
    assert chosen(["b"], ["a", "b"]) == ["b"]
    with pytest.raises(SystemExit, match="no row of this table is called 'c'; there are a, b"):
        chosen(["a", "c"], ["a", "b"])
    with pytest.raises(SystemExit, match="no row of this table can be measured; let GRAPHOPT_SHARED name a folder"):
        chosen([], [])


def test_a_table_of_trained_networks_without_any_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "SHARED_MODELS", [names.SharedModel("absent", list, calibration=list)])
    assert names.calibrated() == {}
    with pytest.raises(SystemExit, match="let GRAPHOPT_SHARED name a folder that has the models"):
        names.opened("absent")
