"""Bisection names the pass, the rule and the node that change answers, and a pipeline without them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

import graphopt
from graphopt import NumericCheck, bisect
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from graphopt.pipeline.limit import RewriteLimit
from graphopt.pipeline.manager import PassManager
from graphopt.pipeline.text import Pipeline
from graphopt.rewrite import Builder, Match, Rule, op, var
from graphopt.targets import host
from tests.networks import network
from tests.wrong_rules import MIXED, ClipIsRelu, DoubleIsSum, DoubleNegation, Rules, fixpoint

RULES = (DoubleNegation(), ClipIsRelu(), DoubleIsSum())


@dataclass(frozen=True)
class NegateOutput(Pass):
    """Change the answers, without rules."""

    name: ClassVar[str] = "negate-output"

    def run(self, model: ir.Model, ctx: Context) -> int:
        return 0 if model.graph[-1].op_type == "Neg" else self._negate(model.graph[-1])

    def _negate(self, node: ir.Node) -> int:
        node.op_type = "Neg"
        node.resize_inputs(1)
        return 1


class Crash(Rule):
    """Raises."""

    pattern = op.Clip(var("x"), var("low"), var("high"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        raise KeyError("oops")


def test_each_wrong_match_is_named_and_skipped() -> None:
    found = bisect(network(MIXED), fixpoint(*RULES))
    steps = [culprit.step for culprit in found.culprits]
    assert [(step.pass_name, step.rule, step.at) for step in steps] == [
        ("any-rules", "ClipIsRelu", "c"),
        ("any-rules", "ClipIsRelu", "e"),
    ]
    assert "any-rules: ClipIsRelu at Clip (-> c)" in str(found.culprits[0])
    assert "output 'y' differs by up to" in found.culprits[0].difference
    assert "skip=c,e" in found.pipeline


def test_what_it_says_is_what_helps() -> None:
    wrong = Rules(RULES)
    skipping = replace(wrong, skip=("c", "e"))
    model = network(MIXED)
    report = PassManager(Pipeline((skipping,)), host(), check=NumericCheck()).run(model)
    assert [node.op_type for node in model.graph] == ["Mul", "Clip", "Add", "Clip", "Add", "Add"]
    assert sum("the pipeline skips it" in remark.message for remark in report.remarks) == 2


def test_a_pass_without_rules_is_one_step() -> None:
    found = bisect(network(MIXED), Pipeline((Rules((DoubleNegation(),)), NegateOutput())))
    (culprit,) = found.culprits
    assert (culprit.step.pass_name, culprit.step.at, culprit.number, culprit.steps) == ("negate-output", "", 2, 2)
    assert "negate-output" not in found.pipeline


def test_a_pass_that_raises_is_found_too() -> None:
    found = bisect(network(MIXED), fixpoint(DoubleNegation(), Crash()))
    (culprit,) = found.culprits
    assert str(culprit).startswith("any-rules (2 of 2 steps): ")
    assert "raised KeyError" in culprit.difference


def test_nothing_wrong_is_nothing_found() -> None:
    found = bisect(network())
    assert (found.culprits, found.runs) == ((), 1)


@pytest.mark.parametrize("limit", range(6))
def test_runs_with_limits_are_prefixes_of_one_run(limit: int) -> None:
    everything, some = RewriteLimit(), RewriteLimit(limit)
    for counter in (everything, some):
        PassManager(fixpoint(*RULES), host(), limit=counter).run(network(MIXED))
    assert len(everything.steps) == 5
    assert some.steps == everything.steps[:limit]


def test_given_inputs_decide() -> None:
    small = NumericCheck({"x": np.full((1, 4), 1e-3, np.float32)})
    assert bisect(network(MIXED), fixpoint(*RULES), check=small).culprits == ()


def test_the_text_parses(tmp_path: Path) -> None:
    text = "fixpoint(fold-batch-norm{skip=b},remove-dead-nodes)"
    model, report = graphopt.optimize(network(), text)
    assert report.pipeline == text
    assert [node.op_type for node in model.graph] == ["Conv", "BatchNormalization", "Relu"]
