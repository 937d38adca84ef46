"""What the driver of rules does to the graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.ir.text.parser import parse_model
from graphopt.ir.text.printer import format_model
from graphopt.ir.verify import verify
from graphopt.ir.walk import nodes, scopes
from graphopt.pipeline.context import Context
from graphopt.rewrite import (
    Builder,
    Match,
    Refused,
    Rule,
    apply_rules,
    const,
    op,
    scalar,
    since,
    var,
)
from graphopt.rewrite.pattern import Op
from graphopt.targets import parse_target


class DoubleNegation(Rule):
    """-(-x) = x."""

    pattern: ClassVar[Op] = op.Neg(op.Neg(var("x")))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        return match["x"]


class ProductOfConstants(Rule):
    """x·c·d = x·(c·d)."""

    pattern: ClassVar[Op] = op.Mul(op.Mul(var("x"), const("c")), const("d"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        product = match.constant("c").astype(np.float64) * match.constant("d").astype(np.float64)
        return build.op("Mul", match["x"], build.constant("factor", product, match.dtype("c")))


@dataclass(frozen=True)
class Rename(Rule):
    """Turns one operator into another: no identity, but a good test."""

    pattern: ClassVar[Op] = op.Abs(var("x"))
    to: str = "Neg"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        return build.op(self.to, match["x"])


class Unrename(Rule):
    """Undoes Rename."""

    pattern: ClassVar[Op] = op.Neg(var("x"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        return build.op("Abs", match["x"])


def rewrite(text: str, *rules: Rule) -> tuple[ir.Model, int, Context]:
    model = parse_model(text)
    context = Context(parse_target("cpu"))
    count = apply_rules(model, rules, context)
    verify(model)
    return model, count, context


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in nodes(model)]


def chain(operator: str, length: int) -> str:
    lines = [f"v{i + 1} = {operator} (v{i})" for i in range(length)]
    return f"g (float[2] v0) => (float[2] v{length}) {{ {' '.join(lines)} }}"


class TestDriver:
    def test_runs_to_the_end_of_a_chain(self) -> None:
        model, count, _ = rewrite(chain("Neg", 7), DoubleNegation())
        assert count == 3
        assert operators(model) == ["Neg"]
        assert model.graph.outputs[0].name == "v7"

    def test_an_input_that_becomes_an_output_gets_an_identity(self) -> None:
        model, _, _ = rewrite(chain("Neg", 2), DoubleNegation())
        assert operators(model) == ["Identity"]

    def test_merges_constants_under_fresh_names_and_drops_the_old(self) -> None:
        text = """g (float[2] x, float[2] y_factor) => (float[2] y) <float[2] a, float[2] b, float[1] c>
        { p = Mul (x, a) q = Mul (b, p) y = Mul (q, c) }"""
        model, count, context = rewrite(text, ProductOfConstants())
        assert count == 2
        assert list(model.graph.initializers) == ["y_factor_1"]
        (remark, *_) = context.remarks
        assert str(remark) == "applied: : Mul (-> q): Mul + Mul -> Mul"

    def test_refuses_what_overflows_and_leaves_no_trace(self) -> None:
        text = """g (float[1] x) => (float[1] y) <float[1] a = {1e30}, float[1] b = {1e30}>
        { p = Mul (x, a) y = Mul (p, b) }"""
        before = format_model(parse_model(text))
        model, count, context = rewrite(text, ProductOfConstants())
        assert count == 0
        assert format_model(model) == before
        assert all(len(value.uses()) == 1 for value in model.graph.initializers.values())
        assert [remark.message for remark in context.remarks] == ["the new factor would overflow float"]

    def test_a_function_gets_constant_nodes(self) -> None:
        text = """g (float[1] x) => (float[1] y) { y = local.f (x) }
        <domain: "local", opset_import: ["": 17]> f (x) => (y)
        { a = Constant <value_floats = [2.0]> () b = Constant <value_float = 3.0> () p = Mul (x, a) y = Mul (p, b) }"""
        model, count, _ = rewrite(text, ProductOfConstants())
        assert count == 1
        assert operators(model) == ["f", "Constant", "Mul"]
        assert [value.name for node in nodes(model) for value in node.outputs] == ["y", "y_factor", "y"]

    def test_a_branch_reads_its_own_constant(self) -> None:
        text = """g (float[2] x, bool[] b) => (float[2] y) <float[2] a>
        { y = If (b) < then_branch = t () => (float[2] p) { m = Mul (x, a) p = Mul (m, a) },
                       else_branch = e () => (float[2] q) { q = Neg (x) } > }"""
        model, count, _ = rewrite(text, ProductOfConstants())
        assert count == 1
        assert [list(scope.initializers) for scope in scopes(model)] == [[], ["p_factor"], []]

    def test_rules_of_a_lower_stage_go_first_everywhere(self) -> None:
        class Early(ProductOfConstants):
            stage = 0

        class Late(Rule):
            """Would break up what Early merges, if it came first."""

            stage = 1
            pattern = op.Mul(var("x"), const("c"))

            def replace(self, match: Match, build: Builder) -> ir.Value:
                return build.op(
                    "Div", match["x"], build.constant("divisor", 1 / match.constant("c").astype(np.float32))
                )

        text = "g (float[2] x) => (float[2] y) <float[2] a, float[2] b> { p = Mul (x, a) y = Mul (p, b) }"
        model, count, _ = rewrite(text, Late(), Early())
        assert count == 2
        assert operators(model) == ["Div"]

    def test_opsets(self) -> None:
        class Newer(DoubleNegation):
            opsets = since(18)

        assert rewrite(chain("Neg", 2), Newer())[1] == 0

    def test_what_a_later_rewrite_makes_possible_is_done_and_not_missed(self) -> None:
        class Zero(Rule):
            """x·0 = 0, for a test that feeds it nothing else."""

            pattern = op.Mul(var("x"), scalar(0.0, "zero"))

            def replace(self, match: Match, build: Builder) -> ir.Value:
                return build.op("Identity", match["zero"])

        text = """g (float[1] x) => (float[1] y, float[1] z) <float[1] zero = {0}>
        { a = Neg (x) b = Neg (a) y = Relu (b) z = Mul (a, zero) }"""
        model, count, context = rewrite(text, DoubleNegation(), Zero())
        assert count == 2
        assert operators(model) == ["Relu", "Identity"]
        assert all(remark.verdict == "applied" for remark in context.remarks)

    def test_a_constant_may_be_the_whole_replacement(self) -> None:
        class Size(Rule):
            """Size(x) = the number of its elements, where that is known."""

            pattern = op.Size(var("x"))

            def replace(self, match: Match, build: Builder) -> ir.Value:
                return build.constant("size", np.array(6))

        text = "g (float[2,3] x) => (int64 y, int64 z) { s = Size (x) y = Neg (s) z = Size (x) }"
        model, count, _ = rewrite(text, Size())
        assert count == 2
        assert operators(model) == ["Neg", "Identity"]
        assert list(model.graph.initializers) == ["s_size", "z_size"]
        assert model.graph.outputs[1].shape == ir.Shape(())

    def test_rules_that_undo_each_other_are_found_out(self) -> None:
        with pytest.raises(RuntimeError, match=re.escape("the rules still rewrite")):
            rewrite(chain("Abs", 1), Rename(), Unrename())

    def test_a_rule_replaces_every_output_that_is_read(self) -> None:
        class Halves(Rule):
            """Split(x) = the two halves, sliced out."""

            pattern = op.Split(var("x"), const("sizes"))

            def __init__(self, outputs: int) -> None:
                self.outputs = outputs

            def replace(self, match: Match, build: Builder) -> Sequence[ir.Value]:
                bounds = [build.constant("bound", np.array([n])) for n in (0, 2, 4)]
                return [build.op("Slice", match["x"], bounds[i], bounds[i + 1]) for i in range(self.outputs)]

        text = "g (float[4] x) => (float[2] a, float[2] b) <int64[2] s = {2, 2}> { a, b = Split (x, s) }"
        model, count, _ = rewrite(text, Halves(2))
        assert count == 1
        assert operators(model) == ["Slice", "Slice"]
        assert [value.name for value in model.graph.outputs] == ["a", "b"]
        _, count, context = rewrite(text, Halves(1))
        assert count == 0
        assert [remark.message for remark in context.remarks] == ["its output 'b' is read too"]

    def test_metadata_and_names_survive_in_a_copy(self) -> None:
        class Sharper(Rule):
            """LeakyRelu(x) with another slope."""

            pattern = op.LeakyRelu(var("x"), name="leaky", alpha=0.5)

            def replace(self, match: Match, build: Builder) -> ir.Value:
                return build.like(match.node("leaky"), [match["x"]], alpha=None)

        model = parse_model("g (float[2] x) => (float[2] y) { [act] y = LeakyRelu <alpha=0.5> (x) }")
        model.graph[0].metadata_props["origin"] = "layer 1"
        assert apply_rules(model, [Sharper()], Context(parse_target("cpu"))) == 1
        (node,) = model.graph
        assert (node.name, node.metadata_props["origin"], dict(node.attributes)) == ("act", "layer 1", {})

    def test_visits_each_node_a_few_times_only(self) -> None:
        visits = []

        class Counting(DoubleNegation):
            def refuse(self, match: Match) -> str | None:
                visits.append(match.root)
                return None

        rewrite(chain("Neg", 600), Counting())
        assert len(visits) <= 600

    def test_a_rule_may_refuse_while_it_builds(self) -> None:
        class Reluctant(DoubleNegation):
            def replace(self, match: Match, build: Builder) -> ir.Value:
                build.op("Abs", match["x"])
                raise Refused("it would rather not")

        model, count, context = rewrite(chain("Neg", 2), Reluctant())
        assert count == 0
        assert len(model.graph.inputs[0].uses()) == 1
        assert [remark.message for remark in context.remarks] == ["it would rather not"]
