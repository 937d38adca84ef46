"""Patterns, the conditions that the matcher holds for every rule, and what the driver does to the graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.ir.load import load
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
    either,
    op,
    optional,
    parameter,
    rest,
    scalar,
    since,
    var,
)
from graphopt.rewrite.matcher import find
from graphopt.rewrite.pattern import Either, Op
from graphopt.targets import parse_target

OPSET = 17


def last(text: str) -> ir.Node:
    """Return the last node of the main graph of a model."""
    return parse_model(text).graph[-1]


def matched(pattern: Op | Either, text: str) -> Match | str | None:
    return find(pattern, last(text), OPSET)


def names(match: Match | str | None) -> dict[str, str | None]:
    assert isinstance(match, Match)
    return {name: match[name].name for name in ("x", "y", "c") if name in match}


class TestPatterns:
    def test_commuting_operators_match_in_both_orders(self) -> None:
        pattern = op.Add(op.Neg(var("x")), const("c"))
        for call in ("Add (n, k)", "Add (k, n)"):
            text = f"g (float[2] x) => (float[2] z) <float[2] k> {{ n = Neg (x) z = {call} }}"
            assert names(matched(pattern, text)) == {"x": "x", "c": "k"}

    def test_other_operators_match_in_their_order_only(self) -> None:
        pattern = op.Sub(var("x"), const("c"))
        assert matched(pattern, "g (float[2] x) => (float[2] z) <float[2] k> { z = Sub (k, x) }") is None

    def test_one_name_is_one_value(self) -> None:
        pattern = op.Mul(var("x"), op.Sigmoid(var("x")))
        text = "g (float[2] x, float[2] y) => (float[2] z) {{ s = Sigmoid ({}) z = Mul (s, x) }}"
        assert names(matched(pattern, text.format("x"))) == {"x": "x"}
        assert matched(pattern, text.format("y")) is None

    def test_a_value_inside_may_be_read_twice_within_the_match(self) -> None:
        pattern = op.Mul(op.Exp(var("x"), name="e"), op.Exp(var("x"), name="e"))
        text = "g (float[2] x) => (float[2] z) { e = Exp (x) z = Mul (e, e) }"
        assert isinstance(matched(pattern, text), Match)

    def test_one_node_name_is_one_node(self) -> None:
        pattern = op.Mul(op.Exp(var("x"), name="e"), op.Exp(var("x"), name="e"))
        text = "g (float[2] x) => (float[2] z) { e = Exp (x) f = Exp (x) z = Mul (e, f) }"
        assert matched(pattern, text) is None

    def test_optional_inputs(self) -> None:
        pattern = op.Clip(var("x"), optional(const("c")), optional(const("d")))
        text = "g (float[2] x) => (float[2] z) <float k> {{ z = Clip ({}) }}"
        assert names(matched(pattern, text.format("x"))) == {"x": "x"}
        assert names(matched(pattern, text.format("x, k"))) == {"x": "x", "c": "k"}
        found = matched(pattern, text.format("x, , k"))
        assert isinstance(found, Match)
        assert "c" not in found
        assert found.get("c") is None
        assert found["d"].name == "k"

    def test_inputs_beyond_the_pattern_are_no_match(self) -> None:
        assert matched(op.Clip(var("x")), "g (float[2] x) => (float[2] z) <float k> { z = Clip (x, k) }") is None

    def test_rest_takes_all_remaining_inputs(self) -> None:
        text = "g (float[2] x, float[2] y) => (float[6] z) { z = Concat <axis=0> (x, y, x) }"
        found = matched(op.Concat(var("first"), rest("others"), axis=0), text)
        assert isinstance(found, Match)
        assert [value.name for value in found.rest("others")] == ["y", "x"]

    def test_either_prefers_the_alternative_without_an_obstacle(self) -> None:
        text = "g (float[2] x) => (float[2] z, float[2] n) { n = Neg (x) z = Relu (n) }"
        pattern = either(op.Relu(op.Neg(var("x"))), op.Relu(var("y")))
        assert names(matched(pattern, text)) == {"y": "n"}

    @pytest.mark.parametrize(
        ("attributes", "wanted", "fits"),
        [("", {"transA": 0}, True), ("<transA=1>", {"transA": 0}, False), ("<alpha=2.0>", {"alpha": 2.0}, True),
         ("", {"alpha": 1.0}, True), ("", {"nonsense": 1}, False)],
    )  # fmt: skip
    def test_attributes_have_their_defaults(self, attributes: str, wanted: dict[str, object], fits: bool) -> None:
        text = f"g (float[2,2] x) => (float[2,2] z) {{ z = Gemm {attributes} (x, x) }}"
        found = matched(op.Gemm(var("x"), var("x"), **wanted), text)
        assert isinstance(found, Match) is fits

    def test_attributes_that_are_lists(self) -> None:
        text = "g (float[2,3] x) => (float[3,2] z) { z = Transpose <perm=[1,0]> (x) }"
        assert isinstance(matched(op.Transpose(var("x"), perm=[1, 0]), text), Match)
        assert matched(op.Transpose(var("x"), perm=[0, 1]), text) is None

    def test_literals(self) -> None:
        text = "g (float[2] x) => (float[2] z) <float[1] one = {1}, float[2] ones = {1, 1}> { z = Mul (x, KIND) }"
        pattern = op.Mul(var("x"), scalar(1.0))
        assert isinstance(matched(pattern, text.replace("KIND", "one")), Match)
        assert matched(pattern, text.replace("KIND", "ones")) is None

    def test_an_output_other_than_the_first(self) -> None:
        text = "g (float[4] x) => (float[2] z) { a, b = Split <axis=0, num_outputs=2> (x) z = Neg (b) }"
        text = '<ir_version: 10, opset_import: ["": 18]> ' + text
        assert isinstance(matched(op.Neg(op.Split(var("x"), output=1)), text), Match)
        assert matched(op.Neg(op.Split(var("x"))), text) is None

    def test_predicates(self) -> None:
        pattern = op.Add(
            var("x", lambda value: value.is_graph_input()),
            const("c", lambda array: bool((array.astype(float) > 0).all())),
        )
        text = "g (float[1] x) => (float[1] z) <float[1] k = {SIGN1}> { z = Add (x, k) }"
        assert isinstance(matched(pattern, text.replace("SIGN", "")), Match)
        assert matched(pattern, text.replace("SIGN", "-")) is None

    def test_a_rule_must_begin_with_an_operator(self) -> None:
        with pytest.raises(TypeError, match="must begin with an operator"):
            find(either(var("x")), last("g (float[1] x) => (float[1] z) { z = Neg (x) }"), OPSET)


class TestObstacles:
    PATTERN = op.Relu(op.Conv(var("x"), parameter("conv.weight"), name="conv"))

    def reason(self, text: str) -> str | None:
        found = matched(self.PATTERN, text)
        assert not isinstance(found, Match)
        return found

    def test_another_reader(self) -> None:
        text = """g (float[1,1,2,2] x) => (float[1,1,2,2] y, float[1,1,2,2] z) <float[1,1,1,1] w>
        { c = Conv (x, w) y = Neg (c) z = Relu (c) }"""
        assert self.reason(text) == "the output of Conv (-> c) is also read by Neg (-> y)"

    def test_a_graph_output(self) -> None:
        text = """g (float[1,1,2,2] x) => (float[1,1,2,2] c, float[1,1,2,2] z) <float[1,1,1,1] w>
        { c = Conv (x, w) z = Relu (c) }"""
        assert self.reason(text) == "the output 'c' of Conv (-> c) is an output of the graph"

    def test_a_parameter_that_is_computed(self) -> None:
        text = "g (float[1,1,2,2] x, float[1,1,1,1] w) => (float[1,1,2,2] z) { c = Conv (x, w) z = Relu (c) }"
        assert self.reason(text) == "its weight 'w' is no constant"

    def test_an_overridable_initializer(self) -> None:
        text = """g (float[1,1,2,2] x, float[1,1,1,1] w = {2}) => (float[1,1,2,2] z)
        { c = Conv (x, w) z = Relu (c) }"""
        root = load(ir.to_proto(parse_model(text)), overridable_initializers=True).graph[-1]
        found = find(self.PATTERN, root, OPSET)
        assert found == "its weight 'w' is a graph input too, so a caller may override it"

    def test_a_computed_operand_is_merely_no_match(self) -> None:
        assert matched(op.Mul(var("x"), const("c")), "g (float[1] x) => (float[1] z) { z = Mul (x, x) }") is None

    def test_another_graph(self) -> None:
        text = """g (float[1,1,2,2] x, bool[] b) => (float[1,1,2,2] y) <float[1,1,1,1] w>
        { c = Conv (x, w)
          y = If (b) < then_branch = t () => (float[1,1,2,2] p) { p = Relu (c) },
                       else_branch = e () => (float[1,1,2,2] q) { q = Neg (x) } > }"""
        relu = next(node for node in nodes(parse_model(text)) if node.op_type == "Relu")
        assert find(self.PATTERN, relu, OPSET) == "Conv (-> c) lies outside of the subgraph"

    def test_an_attribute_that_the_caller_of_a_function_gives(self) -> None:
        text = """g (float[2] x) => (float[2] z) { z = local.f <slope: float = 0.5> (x) }
        <domain: "local", opset_import: ["": 17]> f <slope> (x) => (z) { z = LeakyRelu <alpha: float = @slope> (x) }"""
        leaky = next(node for node in nodes(parse_model(text)) if node.op_type == "LeakyRelu")
        found = find(op.LeakyRelu(var("x")), leaky, OPSET)
        assert found == "the attribute 'alpha' of LeakyRelu (-> z) is given by each call of the function"

    def test_another_domain(self) -> None:
        text = """<ir_version: 10, opset_import: ["": 17, "com.microsoft": 1]>
        g (float[2] x) => (float[2] z) { z = com.microsoft.Gelu (x) }"""
        assert matched(op.Gelu(var("x")), text) is None


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
