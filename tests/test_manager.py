from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.errors import CalibrationError, PassFailureError
from graphopt.ir.load import load
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from graphopt.pipeline.manager import MAX_ROUNDS, PassManager
from graphopt.pipeline.numeric_check import NumericCheck
from graphopt.pipeline.remark import Verdict
from graphopt.pipeline.text import Fixpoint, Pipeline
from graphopt.targets import host
from tests.networks import network


@dataclass(frozen=True)
class RenameRelu(Pass):
    """Name the Relu, once."""

    name: ClassVar[str] = "rename-relu"

    def run(self, model: ir.Model, ctx: Context) -> int:
        relu = next(node for node in model.graph if node.op_type == "Relu")
        if relu.metadata_props.get("seen"):
            ctx.missed(relu, "it has been seen")
            return 0
        relu.metadata_props["seen"] = "yes"
        relu.outputs[0].shape = relu.inputs[0].shape
        ctx.applied(relu, "saw it")
        return 1


@dataclass(frozen=True)
class ReluToNeg(Pass):
    """Change the answers."""

    name: ClassVar[str] = "relu-to-neg"

    def run(self, model: ir.Model, ctx: Context) -> int:
        relu = next(node for node in model.graph if node.op_type == "Relu")
        relu.op_type = "Neg"
        return 1


@dataclass(frozen=True)
class Liar(ReluToNeg):
    """Change the model and say nothing."""

    name: ClassVar[str] = "liar"

    def run(self, model: ir.Model, ctx: Context) -> int:
        super().run(model, ctx)
        return 0


@dataclass(frozen=True)
class Dangle(Pass):
    """Take the producer of a value away."""

    name: ClassVar[str] = "dangle"

    def run(self, model: ir.Model, ctx: Context) -> int:
        model.graph.remove(model.graph[0])
        return 1


@dataclass(frozen=True)
class Crash(Pass):
    """Raise."""

    name: ClassVar[str] = "crash"

    def run(self, model: ir.Model, ctx: Context) -> int:
        raise KeyError("oops")


@dataclass(frozen=True)
class Restless(Pass):
    """Always report a change."""

    name: ClassVar[str] = "restless"

    def run(self, model: ir.Model, ctx: Context) -> int:
        return 1


def manager(*steps: Pass | Fixpoint, check: NumericCheck | None = None, folder: Path | None = None) -> PassManager:
    return PassManager(Pipeline(steps), host(), check=check, reproducer_folder=folder)


def test_the_report_tells_the_story() -> None:
    report = manager(Fixpoint(Pipeline((RenameRelu(),)))).run(network())
    assert report.pipeline == "fixpoint(rename-relu)"
    assert [record.changes for record in report.passes] == [1, 0]
    assert [record.changes for record in report.merged()] == [1]
    assert report.before.nodes == report.after.nodes == 3
    assert report.before.ops == {"Conv": 1, "BatchNormalization": 1, "Relu": 1}
    assert [remark.verdict for remark in report.remarks] == [Verdict.APPLIED, Verdict.MISSED]
    assert report.applied() == {"rename-relu": 1}
    assert report.missed() == {"rename-relu": 1}
    assert "rename-relu: Relu" in str(report.remarks[0])
    assert report.to_dict()["after"]["nodes"] == 3


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Liar(), "pass liar reported no change but changed the model"),
        (Dangle(), "pass dangle broke the model: "),
        (Crash(), "pass crash raised KeyError: 'oops'"),
        (ReluToNeg(), "pass relu-to-neg changed the answers: output 'y' differs"),
    ],
)
def test_a_failing_pass_is_named_with_its_reproducer(step: Pass, reason: str, tmp_path: Path) -> None:
    with pytest.raises(PassFailureError, match=reason) as caught:
        manager(RenameRelu(), step, check=NumericCheck(), folder=tmp_path).run(network())
    assert caught.value.pass_text == step.name
    assert caught.value.reproducer == tmp_path / "model.onnx"
    assert f"graphopt optimize {tmp_path / 'model.onnx'}" in str(caught.value)
    replayed = load(tmp_path / "model.onnx")
    assert [node.op_type for node in replayed.graph] == ["Conv", "BatchNormalization", "Relu"]
    with pytest.raises(PassFailureError, match=reason):
        manager(step, check=NumericCheck(), folder=tmp_path / "again").run(replayed)


def test_a_fixpoint_that_does_not_converge_says_so(tmp_path: Path) -> None:
    with pytest.raises(PassFailureError, match=f"still changes the model after {MAX_ROUNDS} rounds"):
        manager(Fixpoint(Pipeline((Restless(),))), folder=tmp_path).run(network())


def test_the_check_takes_the_given_inputs() -> None:
    feeds = {"x": np.zeros((1, 3, 8, 8), np.float32)}
    manager(RenameRelu(), check=NumericCheck(feeds)).run(network())
    with pytest.raises(CalibrationError, match="does not run on the inputs to check with"):
        manager(RenameRelu(), check=NumericCheck({"x": np.zeros((1, 2), np.float32)})).run(network())


def test_each_pass_is_announced() -> None:
    seen: list[str] = []
    PassManager(Pipeline((RenameRelu(),)), host(), on_pass=seen.append).run(network())
    assert seen == ["rename-relu"]


@dataclass(frozen=True)
class Factor(Pass):
    """Compute (x - 1) * 3 where the model says x * 3 - 3."""

    name: ClassVar[str] = "factor"

    def run(self, model: ir.Model, ctx: Context) -> int:
        inner, outer = model.graph[0], model.graph[1]
        three, one = inner.inputs[1], model.graph.initializers["one"]
        inner.op_type, outer.op_type = "Sub", "Mul"
        inner.replace_input_with(1, one)
        outer.replace_input_with(1, three)
        return 1


@pytest.mark.parametrize(("offset", "is_noise"), [(1.0, True), (1.1, False)])
def test_an_output_worse_conditioned_than_the_tolerance_is_held_to_its_own_noise(offset: float, is_noise: bool) -> None:
    """Near x = 1 the subtraction cancels all but a few digits, whatever the order."""
    text = """
        g (float[64] x) => (float[64] y) <float three = {3}, float minuend = {OFFSET}, float one = {1}>
        { t = Mul (x, three) y = Sub (t, minuend) }
    """.replace("OFFSET", str(3 * offset))
    x = np.float32(1) + np.random.default_rng(0).standard_normal(64).astype(np.float32) * np.float32(1e-5)
    run = manager(Factor(), check=NumericCheck({"x": x}))
    if is_noise:
        run.run(network(text))
    else:
        with pytest.raises(PassFailureError, match="changed the answers"):
            run.run(network(text))
