"""Rules that change answers, for tests of what finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from graphopt.pipeline.text import Fixpoint, Pipeline
from graphopt.rewrite import Builder, Match, RewritePass, Rule, op, scalar, var


class ClipIsRelu(Rule):
    """Wrong: Clip(x, 0, 6) = Relu(x), which holds below 6 only."""

    pattern = op.Clip(var("x"), scalar(0.0), scalar(6.0))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        return build.op("Relu", match["x"])


class DoubleNegation(Rule):
    """Right: -(-x) = x."""

    pattern = op.Neg(op.Neg(var("x")))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        return match["x"]


class DoubleIsSum(Rule):
    """Right: x · 2 = x + x."""

    pattern = op.Mul(var("x"), scalar(2.0))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        return build.op("Add", match["x"], match["x"])


@dataclass(frozen=True)
class Rules(RewritePass):
    """Any rules as a pass."""

    name: ClassVar[str] = "any-rules"
    given: tuple[Rule, ...] = ()

    def rules(self) -> Sequence[Rule]:
        return self.given


def fixpoint(*rules: Rule) -> Pipeline:
    """Return a pipeline that applies rules until none matches."""
    return Pipeline((Fixpoint(Pipeline((Rules(rules),))),))


MIXED = """
    g (float[N,4] x) => (float[N,4] y)
    <float low = {0}, float high = {6}, float two = {2}, float[4] forty = {40, 40, 40, 40}>
    {
        n = Neg (x)
        m = Neg (n)
        big = Mul (m, forty)
        c = Clip (big, low, high)
        d = Mul (c, two)
        e = Clip (big, low, high)
        f = Mul (e, two)
        y = Add (d, f)
    }
"""
"""Three right rewrites and two wrong ones."""
