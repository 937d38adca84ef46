"""Screening leaves out rules that cannot match, and none that can."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from graphopt.ir.text.parser import parse_model
from graphopt.rewrite import Builder, Match, Rule, const, either, op, optional, parameter, var
from graphopt.rewrite.pattern import Either, Op
from graphopt.rewrite.screen import may_match, outline

MODEL = """
g (float[2,3] x, float[2,3] t) => (float[2,3] y)
<float c = {1}>
{ a = Exp (x)
  b = Add (a, c)
  d = Mul (b, t)
  y = Clip (d, c) }
"""


def rule_for(sought: Op | Either) -> Rule:
    class Sought(Rule):
        pattern = sought

        def replace(self, match: Match, build: Builder) -> ir.Value:
            raise NotImplementedError

    return Sought()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (op.Clip(var("x"), const("low"), optional(const("high"))), True),
        (op.Clip(op.Mul(var("x"), op.Add(var("y"), const()))), True),
        (op.Clip(op.Mul(op.Add(const(), op.Exp(var("y"))), var("x"))), True),
        (op.Clip(either(op.Relu(var("x")), op.Mul(var("x"), var("y")))), True),
        (op.Clip(op.Mul(var("x"), parameter("weight"))), True),  # no constant, and the user shall hear of it
        (op.Clip(op.Add(var("x"), var("y"))), False),
        (op.Clip(op.Mul(op.Exp(var("x")), var("y"))), False),
        (op.Clip(op.Mul(op.Add(var("x"), op.Abs(var("y"))), var("z"))), True),  # too far up to tell
        (op.Clip(const("x")), False),
        (op.Max(var("x"), var("y")), False),
    ],
)
def test_rules_are_told_apart_by_operators(pattern: Op | Either, expected: bool) -> None:
    root = list(parse_model(MODEL).graph)[-1]
    assert may_match(rule_for(pattern), outline(root)) == expected


def test_nodes_of_one_kind_share_an_outline() -> None:
    first, second = (list(parse_model(MODEL, seed=seed).graph)[-1] for seed in range(2))
    assert outline(first) == outline(second)
