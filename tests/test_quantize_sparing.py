"""Mixed precision: `graphopt.quantize(…, max_error=, agreement=)` keeps few nodes in float32, and says which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.cli import main as cli
from graphopt.errors import CalibrationError
from graphopt.inspect.fidelity import Fidelity
from graphopt.inspect.goal import Goal
from graphopt.ir.constants import constant
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.walk import is_op
from graphopt.quantization.scheme import SCHEMES
from graphopt.quantization.selection import SPARED, select
from tests.networks import network
from tests.test_quantization_emit import fused, ops

runner = CliRunner()
SCHEME = "x64{per-channel=false}"
FRAGILE = """
g (float[N,3,8,8] x) => (float[N,5] y)
<float[4,3,3,3] w, float[4] b, float[4,4,1,1] v, float[4,4,3,3] u, float[4] c, float[4,5] m, float[5] n>
{
    a = Conv <pads = [1,1,1,1]> (x, w, b)
    r = Relu (a)
    e = Conv (r, v)
    d = Relu (e)
    f = Conv <pads = [1,1,1,1]> (d, u, c)
    s = Add (f, r)
    t = Relu (s)
    p = GlobalAveragePool (t)
    q = Flatten (p)
    y = Gemm (q, m, n)
}
"""
"""One scale for all channels of `v` fits none of them: they are of very different width."""


@pytest.fixture
def model() -> ir.Model:
    made = network(FRAGILE)
    weight = made.graph.initializers["v"]
    array = constant(weight)
    assert array is not None
    wide = np.array([1, 0.05, 2e-3, 300], np.float32).reshape(4, 1, 1, 1)
    weight.const_value = ir.tensor(array * wide, name="v")
    after = made.graph.initializers["u"]
    array = constant(after)
    assert array is not None
    after.const_value = ir.tensor(10 * array / wide.reshape(1, 4, 1, 1), name="u")
    return made


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).standard_normal((24, 3, 8, 8)).astype(np.float32)}


def test_the_one_node_that_stands_in_the_way_is_spared(model: ir.Model, data: dict[str, np.ndarray]) -> None:
    whole = graphopt.quantize(model, data, SCHEME, method="minmax").report
    assert whole.spared == ()
    assert whole.before_sparing is None
    assert whole.fidelity is not None
    assert whole.fidelity.error > 0.1
    quantized, report = graphopt.quantize(model, data, SCHEME, method="minmax", max_error=0.05)
    assert 0 < len(report.spared) <= 2
    assert all("(-> e)" in one or "(-> f)" in one for one in report.spared)
    assert report.before_sparing == whole.fidelity
    assert report.fidelity is not None
    assert report.fidelity.error <= 0.05
    assert [report.floats[one] for one in report.spared] == [SPARED] * len(report.spared)
    assert report.integers == whole.integers - len(whole.plan.nodes - report.plan.nodes)
    assert 0 < fused(quantized)["QLinearConv"] == 3 - len(report.spared)
    floats = {node.outputs[0].name: node for node in quantized.graph if is_op(node, "Conv")}
    for one in ("e", "f"):
        if f"Conv (-> {one})" in report.spared:
            assert floats[one].inputs[1].is_initializer()


def test_a_goal_that_is_reached_anyway_spares_nothing(model: ir.Model, data: dict[str, np.ndarray]) -> None:
    steps: list[str] = []
    _, report = graphopt.quantize(
        model, data, SCHEME, max_error=0.9, agreement=0.01, on_progress=lambda step, *_: steps.append(step)
    )
    assert report.spared == ()
    assert "rank nodes" not in steps


@pytest.mark.parametrize("target", ["x64", "tensorrt", "graphopt", "weights-int4"])
def test_every_target_spares(target: str, model: ir.Model, data: dict[str, np.ndarray]) -> None:
    bare = graphopt.quantize(model, data, target, method="minmax").report
    assert bare.fidelity is not None
    goal = 0.6 * bare.fidelity.error
    quantized, report = graphopt.quantize(model, data, target, method="minmax", max_error=goal)
    assert report.spared
    assert report.fidelity is not None
    assert report.fidelity.error <= goal
    assert ops(quantized)["DequantizeLinear"]


def test_answers_that_no_integer_gives_are_refused(model: ir.Model, data: dict[str, np.ndarray]) -> None:
    with pytest.raises(CalibrationError, match="with integers in any node the answers do not have a relative error"):
        graphopt.quantize(model, data, SCHEME, method="minmax", max_error=1e-7)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"max_error": 0.0}, "an error of 0 cannot be asked for; give one above 0"),
        ({"agreement": 99}, "an agreement of 99 is no share; give one of up to 1"),
        (
            {"agreement": 0.5, "data": None, "target": "weights-int8"},
            "whether there is the same answer to at least 0.5 of the samples is measured on data: give some",
        ),
    ],
)
def test_a_goal_that_is_none_is_refused(
    arguments: dict[str, float], sentence: str, model: ir.Model, data: dict[str, np.ndarray]
) -> None:
    with pytest.raises(CalibrationError, match=sentence):
        graphopt.quantize(model, **({"data": data} | arguments))


def test_a_goal_is_as_far_away_as_what_is_missing_most() -> None:
    found = Fidelity("y", 8, 0.2, 0.9)
    assert Goal(0.1).excess(found) == pytest.approx(0.1)
    assert Goal(0.25, 0.95).excess(found) == pytest.approx(0.05)
    assert Goal(0.25, 0.9).excess(found) <= 0
    assert str(Goal(0.1, 0.99)) == "a relative error of at most 0.1 and the same answer to at least 0.99 of the samples"
    assert not Goal()
    with pytest.raises(CalibrationError, match="output 'y' holds no scores of classes that could agree"):
        Goal(agreement=0.9).excess(Fidelity("y", 8, 0.2, None))
    with pytest.raises(CalibrationError, match="no output holds floating-point numbers"):
        Goal(0.1).excess(None)


def test_what_hangs_on_a_spared_node_alone_stays_too(model: ir.Model) -> None:
    loaded, _ = graphopt.optimize(model)
    spared = select(loaded, SCHEMES["x64"], {"a"})
    assert [node.outputs[0].name for node in spared.products] == ["e", "f", "y"]
    assert spared.refusals["Conv (-> a)"] == SPARED
    assert not select(loaded, SCHEMES["x64"], {"a", "e", "f", "y"}).nodes


def test_the_command_says_what_it_spared_and_what_that_gained(
    model: ir.Model, data: dict[str, np.ndarray], tmp_path: Path
) -> None:
    save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", **data)
    plan, output = tmp_path / "plan.json", tmp_path / "o.onnx"
    arguments = ["quantize", str(tmp_path / "m.onnx"), "-o", str(output), "--data", str(tmp_path / "x.npz")]
    arguments += ["--target", SCHEME, "--method", "minmax", "--max-error", "0.05", "--agreement", "50%"]
    shown = runner.invoke(cli.build_app(), [*arguments, "--plan", str(plan), "--explain"])
    assert shown.exit_code == 0, shown.stderr
    assert "of them spared (Conv (-> " in shown.stdout
    assert f"{SPARED}\n" in shown.stdout
    done = json.loads(runner.invoke(cli.build_app(), [*arguments, "--json"]).stdout)
    assert done["before_sparing"]["error"] > 0.1 > done["fidelity"]["error"]
    pipeline = shown.stdout.partition(": written, for the pipeline ")[2].splitlines()[0]
    again, _ = graphopt.optimize(tmp_path / "m.onnx", pipeline)
    assert ops(again) == ops(load(output))


def test_the_command_refuses_what_is_no_share(tmp_path: Path) -> None:
    arguments = ["quantize", "m.onnx", "-o", str(tmp_path / "o.onnx"), "--agreement", "most"]
    result = runner.invoke(cli.build_app(), arguments)
    assert result.exit_code == 2
    assert "'most' is no share" in result.stderr
