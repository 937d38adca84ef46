"""Tuning: what schedules leave open, which candidate comes next and which one wins. Nothing here asserts a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir
import pytest

import graphopt
from graphopt.backends.tvm.lower.origins import lower_with_origins, without_origins
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.schedule.choices import Choices, Decisions
from graphopt.backends.tvm.schedule.module import fuse
from graphopt.backends.tvm.schedule.workload import workload_key
from graphopt.backends.tvm.tuning import tasks as tasks_module
from graphopt.backends.tvm.tuning.measure import Meter, outputs_of
from graphopt.backends.tvm.tuning.places import ThisMachine
from graphopt.backends.tvm.tuning.search import TOLERANCE, Comparison, Search, Trial
from graphopt.backends.tvm.tuning.space import Space
from graphopt.backends.tvm.tuning.tasks import Task, merged, tasks_of
from graphopt.compiler.kernels import kernels_of
from graphopt.targets import parse_target
from tests.networks import network

TARGET = parse_target("cpu{cores=2}")
TWINS = """
g (float[1,16,6,6] x) => (float[1,16,6,6] y)
<float[16,16,1,1] w, float[16,16,1,1] v>
{ a = Conv (x, w)  r = Relu (a)  b = Conv (r, v)  y = Relu (b) }
"""
KNOBS = {
    "conv": "g (float[1,8,9,9] x) => (float[1,32,9,9] y) <float[32,8,5,5] w> { y = Conv <pads = [2,2,2,2]> (x, w) }",
    "pointwise": "g (float[1,16,6,6] x) => (float[1,32,6,6] y) <float[32,16,1,1] w> { y = Conv (x, w) }",
    "depthwise": "g (float[1,16,9,9] x) => (float[1,16,9,9] y) <float[16,1,3,3] w> "
    "{ y = Conv <group = 16, pads = [1,1,1,1]> (x, w) }",
    "pool": "g (float[1,16,8,8] x) => (float[1,16,4,4] y) { y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x) }",
    "dense": "g (float[6,20] x) => (float[6,32] y) <float[20,32] w> { y = MatMul (x, w) }",
    "winograd": "g (float[1,16,56,56] x) => (float[1,16,56,56] y) <float[16,16,3,3] w> "
    "{ y = Conv <pads = [1,1,1,1]> (x, w) }",
}
EXPECTED = {
    "conv": {"tile", "rows"},
    "pointwise": {"tile", "rows"},
    "depthwise": {"columns", "rows"},
    "pool": {"columns", "rows"},
    "dense": {"rows", "panels"},
    "winograd": {"task", "tile"},
}


def tasks(text: str) -> list[Task]:
    model = graphopt.optimize(network(text), "infer-shapes").model
    graph = model.graph
    return tasks_of(list(graph), graph.inputs, graph.outputs, TARGET, kernels_of(model, TARGET))


def asked(task: Task) -> Callable[[Decisions], Choices | None]:
    return lambda decisions: task.arrange(decisions, TARGET)[1]


@pytest.mark.parametrize("kind", KNOBS)
def test_whatever_is_chosen_the_answer_is_the_same(kind: str) -> None:
    (task,) = tasks(KNOBS[kind])
    _, choices = task.arrange({}, TARGET)
    assert set(choices.options) == EXPECTED[kind]
    space, meter = Space(asked(task), seed=0), Meter(ThisMachine(), TARGET)
    default = space.add({})
    for _ in range(3):
        candidate = space.next(default)
        assert candidate is not None
        assert candidate != default
        (found,) = meter([Trial(task, default, candidate)])
        assert found is not None
        assert found.is_right, candidate


def test_equal_kernels_are_one_task_with_all_calls() -> None:
    (task,) = tasks(TWINS)
    lanes = TARGET.lanes()
    assert (task.name, task.calls) == (f"conv_maximum 1×{16 // lanes}×6×6×{lanes}", 2)
    assert [one.calls for one in merged([task, *tasks(TWINS)])] == [4]


def test_a_key_is_the_same_for_kernels_that_are_traced() -> None:
    graph = graphopt.optimize(network(TWINS), "infer-shapes").model.graph
    region: tuple[list[ir.Node], Sequence[ir.Value], Sequence[ir.Value]] = list(graph), graph.inputs, graph.outputs
    plain = fuse(lower(*region, TARGET), TARGET)
    traced = without_origins(fuse(lower_with_origins(*region, TARGET), TARGET))
    keys = [
        {workload_key(function) for name, function in module.functions.items() if name.name_hint != "main"}
        for module in (plain, traced)
    ]
    assert keys[0] == keys[1]


def test_what_a_kernel_writes_is_found() -> None:
    (task,) = tasks(KNOBS["dense"])
    assert outputs_of(task.function) == [len(task.function.params) - 1]


def test_what_tvm_fails_on_has_no_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(tasks_module, "lower", fail)
    with pytest.raises(tasks_module.CodegenError, match="ValueError: no"):
        tasks(TWINS)


def test_a_decision_that_is_not_offered_is_the_default() -> None:
    choices = Choices({"tile": "9x9", "rows": "2"})
    assert choices.choose("tile", ["4x1", "6x2"], "4x1") == "4x1"
    assert choices.choose("rows", [None, 1, 2], None) == 2
    assert choices.taken == {"tile": "4x1", "rows": "2"}
    assert choices.options["rows"] == ("None", "1", "2")
    assert choices.is_open
    assert not Choices().is_open


def two_knobs(decisions: Decisions) -> Choices | None:
    """Offer a second knob for one option of the first, and no schedule at all for another."""
    choices = Choices(decisions)
    if choices.choose("order", ["rows", "tiles", "broken"], "rows") == "broken":
        return None
    if choices.taken["order"] == "tiles":
        choices.choose("tile", range(1, 4), 1)
    return choices


def test_a_small_space_is_searched_whole() -> None:
    space = Space(two_knobs, seed=0)
    default = space.add({})
    assert default == {"order": "rows"}
    found = []
    while (decisions := space.next(default)) is not None:
        found.append(tuple(decisions.values()))
    assert sorted(found) == [("tiles", "1"), ("tiles", "2"), ("tiles", "3")]


def test_the_seed_decides_the_order() -> None:
    def order(seed: int) -> list[str]:
        space = Space(many, seed)
        default = space.add({})
        return [str(space.next(default)) for _ in range(8)]

    assert order(1) == order(1)
    assert order(1) != order(2)


def many(decisions: Decisions) -> Choices:
    choices = Choices(decisions)
    choices.choose("size", range(20), 0)
    return choices


class FakeMeter:
    """Takes the time of a candidate from a table; what is not in it takes 1.0."""

    def __init__(self, seconds: Mapping[str, float], *, errors: Mapping[str, float] | None = None) -> None:
        self.trials: list[Trial] = []
        self._seconds, self._errors = seconds, errors or {}

    def __call__(self, trials: Sequence[Trial]) -> list[Comparison | None]:
        self.trials.extend(trials)
        return [self._compare(trial) for trial in trials]

    def _compare(self, trial: Trial) -> Comparison | None:
        size = trial.candidate["size"]
        if size == "7":
            return None
        sides = [self._seconds.get(decisions["size"], 1.0) for decisions in (trial.reference, trial.candidate)]
        return Comparison([sides[0]] * 8, [sides[1]] * 8, self._errors.get(size, 0.0))


def fake_task(key: str, calls: int = 1) -> Task:
    return Task(key, None, key, calls)


def searched(
    meter: FakeMeter, *kernels: Task, known: Mapping[str, Decisions] | None = None, trials: int = 50, width: int = 1
) -> Search:
    search = Search(meter, width)
    search.begin([(task, Space(many, seed=0)) for task in kernels], known or {})
    while search.trials < trials and not search.is_exhausted:
        list(search.step(trials - search.trials))
    return search


def test_the_fastest_wins_and_every_candidate_is_tried_once() -> None:
    meter = FakeMeter({"3": 0.8, "11": 0.5, "12": 0.499})
    (state,) = searched(meter, fake_task("a")).states
    assert state.choices in ({"size": "11"}, {"size": "12"})  # the two differ by less than a percent
    assert (state.before, state.trials, state.failed, state.wrong) == (1.0, 19, 1, 0)
    assert state.is_exhausted
    confirmed = [trial for trial in meter.trials if trial.candidate == state.choices]
    assert confirmed[-1].reference == {"size": "0"}


def test_a_wrong_answer_never_wins() -> None:
    (state,) = searched(FakeMeter({"3": 0.1, "4": 0.9}, errors={"3": 2 * TOLERANCE}), fake_task("a")).states
    assert (state.choices, state.wrong) == ({"size": "4"}, 1)


def test_a_winner_that_does_not_win_twice_is_forgotten() -> None:
    class Lucky(FakeMeter):
        def _compare(self, trial: Trial) -> Comparison | None:
            first = sum(one.candidate == trial.candidate for one in self.trials) == 1
            return Comparison([1.0] * 8, [0.5 if first and trial.candidate["size"] == "5" else 1.0] * 8)

    meter = Lucky({})
    (state,) = searched(meter, fake_task("a")).states
    assert state.choices is None
    assert sum(trial.candidate == {"size": "5"} for trial in meter.trials) == 2


def test_trials_go_where_the_time_is() -> None:
    search = searched(FakeMeter({}), fake_task("often", calls=3), fake_task("once"), trials=16)
    assert {state.task.key: state.trials for state in search.states} == {"often": 12, "once": 4}
    assert search.trials == 16


def test_several_machines_measure_different_kernels() -> None:
    search = searched(FakeMeter({}), fake_task("often", calls=3), fake_task("once"), trials=15, width=2)
    assert {state.task.key: state.trials for state in search.states} == {"often": 8, "once": 7}


def test_a_search_goes_on_from_what_is_known() -> None:
    meter = FakeMeter({"3": 0.5, "4": 0.9})
    (state,) = searched(meter, fake_task("a"), known={"a": {"size": "3"}, "b": {"size": "4"}}).states
    assert state.choices == {"size": "3"}
    assert (state.before, state.after) == (1.0, 0.5)
    assert meter.trials[0] == Trial(state.task, {"size": "0"}, {"size": "3"})
    assert all(trial.reference == {"size": "3"} for trial in meter.trials[1:])


def test_what_is_known_but_wrong_is_not_gone_on_from() -> None:
    search = Search(FakeMeter({"3": 0.5}, errors={"3": 1.0}), width=1)
    search.begin([(fake_task("a"), Space(many, seed=0))], {"a": {"size": "3"}})
    assert search.states[0].choices is None


def test_a_kernel_that_cannot_be_measured_is_left_out() -> None:
    search = Search(lambda trials: [None] * len(trials), width=1)
    search.begin([(fake_task("a"), Space(many, seed=0))], {})
    assert search.states == []
    assert search.is_exhausted


@pytest.mark.parametrize(
    ("candidate", "faster"),
    [
        ([0.98] * 8, True),
        ([0.995] * 8, False),  # within a percent
        ([0.5] * 5 + [1.5] * 3, False),  # faster in the median, and noise in too many pairs
        ([0.5] * 7 + [9.0], True),
    ],
)
def test_noise_is_no_gain(candidate: Sequence[float], faster: bool) -> None:
    assert Comparison([1.0] * 8, candidate).is_faster is faster


def test_what_cannot_be_built_is_no_comparison() -> None:
    (task,) = tasks(KNOBS["dense"])

    class Broken(Task):
        def arrange(self, decisions: Decisions, target: object) -> tuple[object, Choices]:
            raise ValueError("no such schedule")

    broken = Broken(task.key, task.function, task.name, task.calls)
    assert Meter(ThisMachine(), TARGET)([Trial(broken, {}, {})]) == [None]
