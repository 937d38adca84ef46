"""`check=rewrite`: right rewrites pass, a wrong one is rolled back alone, with its reproducer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate
from graphopt.catalog import passes
from graphopt.errors import RunError
from graphopt.ir.load import load
from graphopt.numerics import differences
from graphopt.pipeline.adversary import FLOATS, draw
from graphopt.pipeline.manager import PassManager
from graphopt.pipeline.report import Report
from graphopt.pipeline.rewrite_check import RewriteCheck
from graphopt.pipeline.text import parse_pipeline
from graphopt.rewrite import Builder, Match, Rule, op, var
from graphopt.targets import host
from tests.cases import Case, read_cases
from tests.networks import network
from tests.wrong_rules import ClipIsRelu, DoubleIsSum, DoubleNegation, fixpoint

CASES = [case for case in read_cases(Path(__file__).parent / "passes") if case.after is not None]


class NoRelu(Rule):
    """Relu(x) = x, right or wrong by where x comes from."""

    pattern = op.Relu(var("x"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        return match["x"]


class Unstable(Rule):
    """Wrong for large x only: Tanh(x) = (e^2x - 1) / (e^2x + 1)."""

    pattern = op.Tanh(var("x"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        one = build.constant("one", np.ones((), np.float32))
        power = build.op("Exp", build.op("Add", match["x"], match["x"]))
        return build.op("Div", build.op("Sub", power, one), build.op("Add", power, one))


def run(model: ir.Model, check: RewriteCheck, *rules: Rule) -> Report:
    return PassManager(fixpoint(*rules), host(), check=check).run(model)


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_a_wrong_rewrite_is_rolled_back_alone(tmp_path: Path) -> None:
    model = network("""
        g (float[N,4] x) => (float[N,4] y) <float low = {0}, float high = {6}, float two = {2}>
        { n = Neg (x) m = Neg (n) c = Clip (m, low, high) y = Mul (c, two) }
    """)
    check = RewriteCheck(folder=tmp_path)
    report = run(model, check, ClipIsRelu(), DoubleNegation(), DoubleIsSum())
    assert operators(model) == ["Clip", "Add"]
    assert check.summary() == "2 rewrites hold, 1 rolled back, 0 not executable"
    (rolled_back,) = check.rolled_back
    assert rolled_back.rewrite == "any-rules/ClipIsRelu at 'c'"
    assert "on large inputs its output 'c' differs" in str(rolled_back)
    assert sum("ClipIsRelu would change its answers" in remark.message for remark in report.remarks) == 1


def test_the_reproducer_shows_the_difference(tmp_path: Path) -> None:
    model = network(
        "g (float[N,4] x) => (float[N,4] y) <float low = {0}, float high = {6}> { y = Clip (x, low, high) }"
    )
    check = RewriteCheck(folder=tmp_path)
    run(model, check, ClipIsRelu())
    folder = check.rolled_back[0].reproducer
    assert folder == tmp_path / "any-rules-ClipIsRelu-y"
    before, after = load(folder / "before.onnx"), load(folder / "after.onnx")
    assert (operators(before), operators(after)) == (["Clip"], ["Relu"])
    with np.load(folder / "inputs.npz") as inputs:
        feeds = {name: inputs[name] for name in inputs.files}
    assert differences(evaluate(before, feeds), evaluate(after, feeds))[0].error > 0.1


def test_what_a_rule_knows_of_its_inputs_is_taken_in() -> None:
    check = RewriteCheck()
    model = network("g (float[N,4] x) => (float[N,4] y, float[N,4] z) { s = Sigmoid (x) y = Relu (s) z = Relu (x) }")
    run(model, check, NoRelu())
    assert operators(model) == ["Sigmoid", "Relu"]
    assert [one.rewrite for one in check.rolled_back] == ["any-rules/NoRelu at 'z'"]


def test_ordinary_inputs_would_not_do() -> None:
    check = RewriteCheck()
    model = network("g (float[N,4] x) => (float[N,4] y) { y = Tanh (x) }")
    run(model, check, Unstable())
    assert operators(model) == ["Tanh"]
    assert "on large inputs" in check.rolled_back[0].reason


def test_what_cannot_be_executed_is_counted() -> None:
    check = RewriteCheck()
    model = network("g (float[N,4] x, a) => (y) { y = Relu (a) }")
    run(model, check, NoRelu())
    assert check.summary() == "0 rewrites hold, 0 rolled back, 1 not executable"
    assert "not executable: any-rules/NoRelu at 'y'" in check.findings()[0]


@pytest.mark.parametrize("dtype", ["float8e5m2", "float8e4m3fn", "bfloat16", "int4"])
def test_types_that_numpy_lacks_cannot_be_made_up(dtype: str) -> None:
    model = network(f"g ({dtype}[N,4] x) => ({dtype}[N,4] y) {{ y = Identity (x) }}")
    with pytest.raises(RunError, match="no values of type"):
        draw(model.graph.inputs, "normal", (2,), 0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_documented_rewrite_holds(case: Case) -> None:
    check = RewriteCheck()
    PassManager(parse_pipeline(case.pipeline, passes()), host(), check=check).run(network(case.before))
    assert not check.rolled_back


@pytest.mark.parametrize("dtype", ["float", "float16", "int64", "bool"])
def test_inputs_of_rank_0_can_be_fed(dtype: str) -> None:
    model = network(f"g ({dtype} x) => ({dtype} y) {{ y = Identity (x) }}")
    feeds = draw(model.graph.inputs, "normal", (2,), 0)
    assert evaluate(model, feeds)["y"] == feeds["x"]


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("dtype", ["float", "float16", "double", "int64", "int8", "uint8", "bool", "string"])
def test_inputs_have_type_and_consistent_sizes(kind: str, dtype: str) -> None:
    model = network(f"g ({dtype}[N,M] x, {dtype}[N,L] y) => ({dtype}[N,M] z) {{ z = Identity (x) }}")
    model.graph.inputs[1].shape = ir.Shape(["N", "M + 1"])
    feeds = draw(model.graph.inputs, kind, (2, 7), 0)
    assert {name: array.shape for name, array in feeds.items()} == {"x": (2, 7), "y": (2, 8)}
    assert {array.dtype for array in feeds.values()} == {(model.graph.inputs[0].dtype or ir.DataType.FLOAT).numpy()}
