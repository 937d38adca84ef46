"""`graphopt.prune`, `graphopt prune` and the pass `prune-channels`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.cli import main as cli
from graphopt.compiler.pruner import Pruned
from graphopt.coupling.couple import couple
from graphopt.errors import CalibrationError, MeasurementError, ModelError, PipelineError, TargetError
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.pipeline.numeric_check import NumericCheck
from graphopt.pruning.budget import Measure
from graphopt.pruning.cost import Cost, Share, Size, Term, count, counted
from graphopt.pruning.plan import METADATA_KEY, Plan
from graphopt.pruning.room import Room
from graphopt.pruning.search import by_latency
from graphopt.pruning.width import Snap
from graphopt.runtime.benchmark import Timing
from graphopt.targets import Target
from graphopt.tensors import Array
from tests.networks import network

DIGITS = Path("models/digits/digits.onnx")
FIXED = "g (float[N,2] x) => (float[N,3] y) <float[2,3] w> { y = MatMul (x, w) }"
PLAN = '{"graphopt-pruning-plan": 1, "criterion": "l1", "request": "", "groups": {"h": %s}}'
runner = CliRunner()


def images(part: slice) -> Array:
    return np.load("models/digits/digits_test.npz")["images"][part].astype(np.float32)


def labels(part: slice) -> Array:
    return np.load("models/digits/digits_test.npz")["labels"][part].astype(np.int64)


def answers(model: ir.Model, part: slice) -> Array:
    return evaluate(model, {"image": images(part)})["logits"].argmax(1)


@pytest.fixture(scope="module")
def digits() -> Pruned:
    part = slice(0, 120)
    return graphopt.prune(DIGITS, {"image": images(part)}, macs="-30%", labels=labels(part), threads=1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", image=images(slice(0, 30)))
    return tmp_path / "data.npz"


def test_a_trained_network_is_smaller_and_answers_the_same(digits: Pruned) -> None:
    model, report = digits
    held_out = slice(120, None)
    agreed = answers(load(DIGITS), held_out) == answers(model, held_out)
    assert agreed.mean() >= 0.95
    assert 0.68 <= report.after.macs / report.before.macs <= 0.7
    assert report.after.bytes < report.before.bytes
    assert sum(tensor.nbytes for tensor in constants(model)) == report.after.bytes
    assert model.metadata_props[METADATA_KEY] == report.request == "macs=-30%"


def constants(model: ir.Model) -> list[ir.TensorProtocol]:
    return [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]


def test_the_report_says_what_each_stage_answers(digits: Pruned) -> None:
    report = digits.report
    assert report.criterion == "obs"
    assert report.recovery == "least-squares"
    assert (report.samples, report.held_out) == (120, 24)
    assert report.recovered is not None
    assert report.before.fidelity is None
    assert report.pruned.fidelity is not None
    assert report.recovered.fidelity is not None
    assert report.recovered.fidelity.samples == 24
    assert report.recovered.fidelity.error < report.pruned.fidelity.error
    assert report.before.accuracy is not None
    assert report.recovered.accuracy is not None
    assert report.recovered.accuracy >= report.before.accuracy - 0.05
    assert all(layer.macs_after < layer.macs_before for layer in report.layers)
    saved = sum(layer.macs_before - layer.macs_after for layer in report.layers)
    assert saved == report.before.macs - report.after.macs
    assert any("'logits' is an output" in why for why in report.frozen.values())
    assert json.loads(json.dumps(report.to_dict()))["removed"] == {
        name: len(numbers) for name, numbers in report.plan.removal.items()
    }


def test_narrower_widths_are_multiples(digits: Pruned) -> None:
    plan = digits.report.plan
    assert plan.removal
    for name, numbers in plan.removal.items():
        assert (plan.channels[name] - len(numbers)) % digits.report.snap.of(plan.channels[name]) == 0


@pytest.mark.parametrize(
    ("measure", "amount", "share"),
    [("macs", "-25%", 0.75), ("flops", "80%", 0.8), ("params", "20k", None), ("bytes", -0.45, 0.55)],
)
@pytest.mark.parametrize("criterion", ["l1", "random"])
def test_a_budget_without_data_is_met(measure: str, amount: str | float, share: float | None, criterion: str) -> None:
    model, report = graphopt.prune(DIGITS, criterion=criterion, multiple=2, **{measure: amount})
    costs = [getattr(state, {"params": "parameters"}.get(measure, measure)) for state in (report.before, report.after)]
    limit = 20_000 if share is None else share * costs[0]
    assert limit - 0.02 * costs[0] <= costs[1] <= limit
    assert report.recovered is None
    assert not report.notes
    assert answers(model, slice(0, 4)).shape == (4,)


def test_seeds_reproduce() -> None:
    plans = [graphopt.prune(DIGITS, macs="-30%", criterion="random", seed=seed).report.plan for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_a_budget_that_cannot_be_met_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"macs cannot fall to 0\.1% .* multiples of 1, .*% remain; ask for less"):
        graphopt.prune(DIGITS, macs="0.1%")
    with pytest.raises(PipelineError, match="multiples of 32"):
        graphopt.prune(DIGITS, macs="-60%", multiple=32)


def test_what_is_far_below_the_request_says_why() -> None:
    report = graphopt.prune(DIGITS, macs="-1%", multiple=48).report
    assert report.after.macs <= 0.99 * report.before.macs
    (note,) = report.notes
    assert note.startswith("macs fall to ")
    assert "no widths that are multiples of 48 were found closer" in note


def test_a_model_where_nothing_can_leave() -> None:
    with pytest.raises(ModelError, match="no channel can leave model 'g': .* leave it as it is"):
        graphopt.prune(network(FIXED), macs="-10%")


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({}, PipelineError, "nothing is to become less"),
        ({"macs": "-30%", "params": "-30%"}, PipelineError, "macs and params are to become less"),
        ({"macs": "much"}, PipelineError, "macs=much is no budget"),
        (
            {"macs": "-30%", "criterion": "l3"},
            CalibrationError,
            r"unknown criterion 'l3'; there are auto, l1, l2, random",
        ),
        ({"macs": "-30%", "criterion": "obs"}, CalibrationError, "criterion 'obs' looks at data: give some"),
        ({"macs": "-30%", "recover": "magic"}, CalibrationError, "unknown recovery 'magic'; there are none, least"),
        ({"macs": "-30%", "recover": "distill"}, CalibrationError, "recovery 'distill' fits what is left to data"),
        ({"macs": "-30%", "multiple": 0}, PipelineError, "multiple=0 is none that widths can be of"),
        ({"macs": "-30%", "target": "gpu"}, TargetError, "unknown target 'gpu'"),
    ],
)
def test_what_is_asked_for_wrongly(asked: dict[str, object], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        graphopt.prune(DIGITS, **asked)


def test_what_is_given_stays_untouched() -> None:
    model = load(DIGITS)
    before = ir.to_proto(model).SerializeToString()
    graphopt.prune(model, macs="-30%")
    assert ir.to_proto(model).SerializeToString() == before


def test_a_plan_comes_back_from_its_file(digits: Pruned, tmp_path: Path) -> None:
    plan = digits.report.plan
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    text = f"{digits.report.pipeline},prune-channels{{plan={tmp_path / 'plan.json'}}}"
    model, _ = graphopt.optimize(DIGITS, text, check=NumericCheck())
    shapes = {name: value.shape for name, value in model.graph.initializers.items()}
    assert shapes == {name: value.shape for name, value in digits.model.graph.initializers.items()}


def test_a_plan_for_another_model_is_refused(digits: Pruned) -> None:
    other = network("g (float[N,2,4,4] x) => (float[N,3,4,4] y) <float[8,2,1,1] w, float[3,8,1,1] v>"
                    "{ h = Conv (x, w) y = Conv (h, v) }")  # fmt: skip
    name = next(iter(digits.report.plan.removal))
    with pytest.raises(CalibrationError, match=f"of group {name!r}, which the model does not have"):
        digits.report.plan.apply(other, couple(other))
    with pytest.raises(CalibrationError, match=r"of group 'hh', .* \(did you mean 'h'\?\)"):
        Plan({"hh": (0,)}, {"hh": 8}).check(couple(other))
    with pytest.raises(CalibrationError, match="of 9 channels of group 'h', which has 8"):
        Plan({"h": (0,)}, {"h": 9}).check(couple(other))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "is no plan of a pruning"),
        ("channels", "is no plan of a pruning"),
        ('{"graphopt-pruning-plan": 7}', "is of form 7, not 1"),
        (PLAN % '{"channels": 4, "remove": [4]}', "group 'h' has the channels 0 to 3"),
        (PLAN % '{"channels": 4, "remove": [1, 1]}', "group 'h' is to lose 2 of 4 channels"),
        (PLAN % '{"channels": 2, "remove": [0, 1]}', "group 'h' is to lose 2 of 2 channels"),
    ],
)
def test_a_text_that_is_no_plan(text: str, sentence: str) -> None:
    with pytest.raises(CalibrationError, match=sentence):
        Plan.from_json(text)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("", "nothing is to become less"),
        ("{macs=-30% params=-30%}", "macs and params are to become less"),
        ("{macs=-30% plan=plan.json}", "leave the budget out, or the plan"),
        ("{macs=-30% criterion=obs}", "must be l1"),
        ("{macs=-30% multiple=-1}", "multiple=-1 is none"),
        ("{macs=-30% multiple=64}", "macs cannot fall to 70.0%"),
    ],
)
def test_a_pass_that_is_asked_wrongly(options: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        graphopt.optimize(DIGITS, f"O1,prune-channels{options}")


def test_a_budget_of_latency_is_searched_by_what_programs_take() -> None:
    """The time is not proportional to the multiply-adds: a part of it stays."""
    cost = Cost(Measure.MACS, {"layer": Term(1, (Size(0, (Share("g", 1000, 1),)),))}, 0)

    def choose(limit: float) -> dict[str, int]:
        return {"g": int(limit) // 10 * 10}

    found = by_latency(
        choose, lambda widths: 3.0 + widths["g"] / 100, 10.0, 13.0, cost, Room({"g": 1000}, Snap(10, 10))
    )
    assert found is not None
    assert 9.8 <= 3.0 + found["g"] / 100 <= 10.0
    assert by_latency(choose, lambda _: 13.0, 10.0, 13.0, cost, Room({"g": 1000}, Snap(10, 10))) is None


def test_a_budget_of_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stopwatch says is made up here: a constant, and a share of the multiply-adds."""

    def latencies(models: list[ir.Model], target: Target, shapes: object) -> list[Timing]:
        assert target.cores == 1
        return [Timing((1.0 + count(Measure.MACS, counted(model)) / 1e6,)) for model in models]

    monkeypatch.setattr("graphopt.compiler.latency.latencies", latencies)
    _, report = graphopt.prune(DIGITS, latency="-20%", multiple=4, target="cpu{cores=1}")
    assert report.before.latency == pytest.approx(1.94272)
    assert report.pruned.latency is not None
    assert 0.76 <= report.pruned.latency / report.before.latency <= 0.8
    assert report.pruned.macs < 0.7 * report.before.macs
    with pytest.raises(MeasurementError, match=r"take 0\.9 ms instead of 1\.94; ask for less, or say macs="):
        graphopt.prune(DIGITS, latency="0.9ms", multiple=4, target="cpu{cores=1}")


def test_latency_is_that_of_native_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeasurementError, match="latency of model .* in native code cannot be measured"):
        graphopt.prune(DIGITS, latency="-20%", target="onnxruntime")


def test_the_command(data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", labels(slice(0, 30)))
    output, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    arguments = ["prune", str(DIGITS), "-o", str(output), "--macs", "-30%", "--data", str(data), "--threads", "1"]
    done = runner.invoke(
        cli.build_app(), [*arguments, "--labels", str(tmp_path / "labels.npy"), "--plan", str(plan), "--explain"]
    )
    assert done.exit_code == 0, done.output
    assert "frozen: Gemm" in done.output
    assert "accuracy" in done.output
    assert f"prune-channels{{plan={plan}}}" in done.output.replace("\n", "")
    assert load(output).metadata_props[METADATA_KEY] == "macs=-30%"
    assert Plan.load(plan).removal


def test_the_command_in_numbers(tmp_path: Path) -> None:
    arguments = ["prune", str(DIGITS), "-o", str(tmp_path / "small.onnx"), "--params", "60%", "--json"]
    done = runner.invoke(cli.build_app(), arguments)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["pruned"]["parameters"] <= 0.6 * report["before"]["parameters"]
    assert report["criterion"] == "l1"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--macs", "much"], 4, "macs=much is no budget; write -40% for so much less"),
        ([], 4, "nothing is to become less"),
        (["--macs", "-30%", "--criterion", "activaton"], 6, "did you mean 'activation'?"),
        (["--macs", "-30%", "--criterion", "obs"], 6, "looks at data: give some"),
        (["--macs", "-30%", "--labels", "labels.npy"], 2, "give --data"),
        (["--macs", "-99.9%"], 4, "ask for less"),
    ],
)
def test_commands_that_cannot_be_done(arguments: list[str], code: int, sentence: str, tmp_path: Path) -> None:
    output = tmp_path / "small.onnx"
    done = runner.invoke(cli.build_app(), ["prune", str(DIGITS), "-o", str(output), *arguments])
    assert done.exit_code == code
    assert sentence in " ".join(done.output.split())
    assert not output.exists()


def test_a_command_on_what_cannot_shrink(tmp_path: Path) -> None:
    save(network(FIXED), tmp_path / "fixed.onnx")
    arguments = ["prune", str(tmp_path / "fixed.onnx"), "-o", str(tmp_path / "small.onnx"), "--macs", "-30%"]
    done = runner.invoke(cli.build_app(), arguments)
    assert done.exit_code == 3
    assert "no channel can leave model 'g'" in done.output


def test_what_is_left_is_distilled() -> None:
    part = slice(0, 60)
    _, report = graphopt.prune(
        DIGITS, {"image": images(part)}, params="-30%", recover="distill", recipe="distill{epochs=2}", threads=1
    )
    assert report.recovery == "distill"
    assert report.recovered is not None
    assert report.recovered.fidelity is not None
    assert report.pruned.fidelity is not None
    assert report.recovered.fidelity.error < report.pruned.fidelity.error
    assert "distill" in report.seconds


def test_labels_do_not_fit_the_data() -> None:
    with pytest.raises(CalibrationError, match="has 3 labels for 20 samples"):
        graphopt.prune(DIGITS, {"image": images(slice(0, 20))}, macs="-30%", labels=[1, 2, 3])
