"""Patterns, and the conditions that the matcher holds for every rule."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from graphopt.ir.load import load
from graphopt.ir.text.parser import parse_model
from graphopt.ir.walk import nodes
from graphopt.rewrite import (
    Match,
    const,
    either,
    op,
    optional,
    parameter,
    rest,
    scalar,
    var,
)
from graphopt.rewrite.matcher import find
from graphopt.rewrite.pattern import Either, Op

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
