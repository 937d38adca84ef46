"""Differences between two models: each kind alone, in networks small enough to see it."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.cli.difference import differences
from graphopt.cli.main import build_app
from graphopt.errors import ModelError
from graphopt.inspect.diff.record import Diff
from graphopt.ir.save import save
from models import TOPOLOGIES
from tests.disguise import disguised
from tests.networks import network

runner = CliRunner()

CHAIN = """
g (float[N,4] x) => (float[N,4] y)
<float[4,4] w, float[4] b>
{
    h = MatMul (x, w)
    s = Add (h, b)
    r = Relu (s)
    t = Sigmoid (r)
    y = Mul (t, x)
}
"""


def diff(before: str, after: str) -> Diff:
    return graphopt.diff(network(before), network(after))


def kinds(found: Diff) -> dict[str, int]:
    return {kind: count for kind, count in found.counts().items() if count}


def ops(nodes: object) -> list[str]:
    return [node.op for node in nodes]


@pytest.mark.parametrize("name", ["squeezenet1.1", "mobilenet_v2", "resnet18", "shufflenet_v2", "unet"])
def test_a_topology_in_disguise_and_with_one_other_weight(name: str) -> None:
    model = TOPOLOGIES[name](image=32, classes=4, seed=3)
    disguise = disguised(model, 1)
    assert not graphopt.diff(model, disguise)
    weight = disguise.graph.initializer[len(disguise.graph.initializer) // 2]
    array = onnx.numpy_helper.to_array(weight).copy()
    array.flat[0] += 1
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    found = graphopt.diff(model, disguise)
    assert kinds(found) == {"reweighted": 1}
    assert (found.reweighted[0].after_constant, found.reweighted[0].changed) == (weight.name, 1)


def test_other_weights_everywhere_are_re_weighted_alone() -> None:
    found = graphopt.diff(*(TOPOLOGIES["resnet18"](image=32, classes=4, seed=seed) for seed in (0, 1)))
    assert set(kinds(found)) == {"reweighted"}


def test_a_node_that_is_left_out() -> None:
    found = diff(CHAIN, CHAIN.replace("r = Relu (s)", "").replace("(r)", "(s)"))
    assert kinds(found) == {"removed": 1}
    (node,) = found.removed
    assert (node.op, node.where, len(node.reads), len(node.read_by)) == ("Relu", "", 1, 1)
    assert "Add" in node.reads[0]
    assert "Sigmoid" in node.read_by[0]


def test_a_node_that_is_put_in() -> None:
    found = diff(CHAIN, CHAIN.replace("t = Sigmoid (r)", "n = Tanh (r) t = Sigmoid (n)"))
    assert kinds(found) == {"added": 1}
    assert ops(found.added) == ["Tanh"]


def test_a_node_that_another_takes_the_place_of() -> None:
    found = diff(CHAIN, CHAIN.replace("Relu (s)", "Elu (s)"))
    assert kinds(found) == {"removed": 1, "added": 1}
    assert ops((*found.removed, *found.added)) == ["Relu", "Elu"]


def test_an_input_that_comes_from_elsewhere() -> None:
    found = diff(CHAIN, CHAIN.replace("Mul (t, x)", "Mul (t, h)"))
    assert kinds(found) == {"rewired": 1}
    (entry,) = found.rewired
    assert entry.input == 1
    assert entry.before == "input x: float[N,4]"
    assert "MatMul" in str(entry.after)


def test_an_output_that_comes_from_elsewhere() -> None:
    two = "g (float[N] x) => (float[N] y, float[N] z) { a = Relu (x) y = Neg (a) z = Exp (a) }"
    found = diff(two, two.replace("y = Neg (a) z = Exp (a)", "z = Neg (a) y = Exp (a)"))
    assert [entry.node for entry in found.rewired] == ["output 'y'", "output 'z'"]
    assert kinds(found) == {"rewired": 2}


@pytest.mark.parametrize(("op", "differences"), [("Add", {}), ("Max", {}), ("Sub", {"rewired": 2})])
def test_the_order_of_operands_counts_where_the_operator_is_not_commutative(
    op: str, differences: dict[str, int]
) -> None:
    text = "g (float[N] a, float[N] b) => (float[N] y) { n = Neg (a) y = OP (n, b) }".replace("OP", op)
    assert kinds(diff(text, text.replace("(n, b)", "(b, n)"))) == differences


def test_attributes() -> None:
    text = "g (float[2,4] x) => (float[2,4] y) { s = Softmax <axis = 0> (x) y = Neg (s) }"
    found = diff(text, text.replace("axis = 0", "axis = -2"))
    assert kinds(found) == {"attributes": 1}
    (entry,) = found.attributes
    assert (entry.attribute, entry.before, entry.after) == ("axis", "0", "-2")


def test_what_is_written_in_two_ways_is_equal() -> None:
    text = "g (float[2,4] x) => (float[2,4] y) <float[4] c = {1, 2, 3, 4}> { s = Softmax (x) y = Mul (s, c) }"
    other = (
        "g (float[2,4] x) => (float[2,4] y)"
        " { c = Constant <value = float[4] {1, 2, 3, 4}> () s = Softmax <axis = -1> (x) y = Mul (c, s) }"
    )
    assert not diff(text, other)


def test_a_weight_of_another_type_or_shape() -> None:
    before, after, wider = network(CHAIN), network(CHAIN), network(CHAIN)
    weight = after.graph.initializers["b"].const_value.numpy()
    after.graph.initializers["b"].const_value = ir.tensor(weight + np.float32([0, 0, 2, 0]))
    (entry,) = graphopt.diff(before, after).reweighted
    assert (entry.constant, entry.changed, entry.elements, entry.dtype) == ("b", 1, 4, "float")
    assert entry.largest == pytest.approx(2, rel=1e-6)
    assert entry.relative == pytest.approx(2 / np.linalg.norm(weight), rel=1e-6)
    wider.graph.initializers["b"].const_value = ir.tensor(weight.reshape(1, 4))
    wider.graph.initializers["b"].shape = ir.Shape((1, 4))
    (entry,) = graphopt.diff(before, wider).reweighted
    assert (entry.shape, entry.after_shape, entry.changed, entry.largest) == ((4,), (1, 4), None, None)


def test_a_weight_that_became_a_narrower_float() -> None:
    text = "g (float[2,4] x) => (float[2,4] y) <TYPE[4] c> { k = Cast <to = 1> (c) y = Mul (x, k) }"
    before = network(text.replace("TYPE", "float"))
    values = before.graph.initializers["c"].const_value.numpy()
    after = network(text.replace("TYPE", "bfloat16"))
    after.graph.initializers["c"].const_value = ir.tensor(values.astype(ml_dtypes.bfloat16))
    (entry,) = graphopt.diff(before, after).reweighted
    assert (entry.dtype, entry.after_dtype) == ("float", "bfloat16")
    assert entry.relative is not None
    assert 0 < entry.relative < 2**-8


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_a_weight_that_was_quantized(axis: int | None) -> None:
    text = "g (float[2,4] x) => (float[2,3] y) <float[4,3] w> { y = MatMul (x, w) }"
    before = network(text)
    weight = before.graph.initializers["w"].const_value.numpy()
    scale = np.abs(weight).max(None if axis is None else 1 - axis, keepdims=axis is not None) / 127
    levels = np.round(weight / scale).astype(np.int8)
    form = "" if axis is None else f"[{scale.size}]"
    after = network(
        f"g (float[2,4] x) => (float[2,3] y) <int8[4,3] q, float{form} s>"
        f" {{ d = DequantizeLinear <axis = {axis or 0}> (q, s) y = MatMul (x, d) }}"
    )
    after.graph.initializers["q"].const_value = ir.tensor(levels)
    after.graph.initializers["s"].const_value = ir.tensor(scale.astype(np.float32).reshape(-1 if form else ()))
    found = graphopt.diff(before, after)
    assert kinds(found) == {"added": 1, "reweighted": 1}
    (entry,) = found.reweighted
    assert (entry.dtype, entry.after_dtype, entry.constant, entry.after_constant) == ("float", "int8", "w", "q")
    assert entry.quantized
    assert entry.largest == pytest.approx(np.abs(levels * scale - weight).max(), rel=1e-3)
    assert "w → q float[4, 3] → int8[4, 3]: dequantized, " in list(differences(found))[1][1]


def test_a_weight_that_two_nodes_share_is_one_difference() -> None:
    text = "g (float[2,4] x) => (float[2,4] y) <float[4] c = {1, 2, 3, 4}> { a = Mul (x, c) y = Sub (a, c) }"
    found = diff(text, text.replace("3", "7"))
    assert kinds(found) == {"reweighted": 1}
    assert len(found.reweighted[0].readers) == 2


def test_inputs_and_outputs() -> None:
    text = "g (float[N,4] x, float[N,4] z) => (float[N,4] y) { y = Add (x, z) }"
    assert kinds(diff(text, text.replace("N", "B"))) == {}
    fixed = diff(text, text.replace("float[N,4] x", "float[8,4] x"))
    assert [(one.kind, one.before, one.after) for one in fixed.interface] == [
        ("input", "x: float[N,4]", "x: float[8,4]")
    ]
    renamed = diff(text, text.replace("x", "image"))
    assert not renamed
    assert renamed.notes == ("input 'x' is named 'image'",)
    less = diff(text, "g (float[N,4] x) => (float[N,4] y) { y = Add (x, x) }")
    assert kinds(less) == {"rewired": 1, "interface": 1}
    assert (less.interface[0].before, less.interface[0].after) == ("z: float[N,4]", None)


def test_inputs_in_another_order_are_a_note() -> None:
    text = "g (float[N] a, float[N] b) => (float[N] y) { n = Neg (a) y = Sub (n, b) }"
    found = diff(text, text.replace("float[N] a, float[N] b", "float[N] b, float[N] a"))
    assert not found
    assert found.notes == ("inputs stand in another order",)


IF = """
g (float[N] x, bool c) => (float[N] y)
<float[1] k = {2}>
{
    h = Relu (x)
    y = If (c) <then_branch = t () => (p) { p = Mul (h, k) }, else_branch = e () => (p) { q = Neg (h) p = Exp (q) }>
}
"""


def test_subgraphs() -> None:
    found = diff(IF, IF.replace("p = Exp (q)", "p = Sqrt (q)"))
    assert kinds(found) == {"removed": 1, "added": 1}
    assert found.removed[0].where.endswith(".else_branch")
    assert kinds(diff(IF, IF.replace("{2}", "{3}"))) == {"reweighted": 1}
    rewired = diff(IF, IF.replace("p = Mul (h, k)", "p = Mul (x, k)"))
    assert kinds(rewired) == {"rewired": 1}
    assert rewired.rewired[0].where.endswith(".then_branch")


def test_a_weight_that_two_branches_capture_is_one_difference() -> None:
    text = IF.replace("q = Neg (h)", "q = Mul (k, h)")
    found = diff(text, text.replace("{2}", "{3}"))
    assert kinds(found) == {"reweighted": 1}
    assert [".then_branch" in reader or ".else_branch" in reader for reader in found.reweighted[0].readers] == [
        True
    ] * 2


def test_a_removed_node_that_a_branch_read_is_the_only_difference() -> None:
    assert kinds(diff(IF, IF.replace("h = Relu (x)", "").replace("(h", "(x"))) == {"removed": 1}


def test_a_removed_node_hides_no_other_constant() -> None:
    text = "g (float[2] x) => (float[2] y) <float[2] k = {2, 4}> { i = Identity (k) y = Mul (x, i) }"
    plain = "g (float[2] x) => (float[2] y) <float[2] k = {2, 4}> { y = Mul (x, k) }"
    assert kinds(diff(text, plain)) == {"removed": 1}
    assert kinds(diff(text, plain.replace("{2, 4}", "{2, 5}"))) == {"removed": 1, "rewired": 1}


def test_nodes_that_compute_the_same_may_stand_for_each_other() -> None:
    text = """g (float[N] x) => (float[N] y) <float[1] k = {2}>
    { a = Mul (x, k) p = Neg (a) q = Neg (a) r = Sub (p, x) s = Sub (x, q) t = Add (r, s) y = Add (t, p) }"""
    other = text.replace("p = Neg (a) q = Neg (a)", "q = Neg (a) p = Neg (a)").replace("{2}", "{3}")
    assert kinds(diff(text, other.replace("Sub (p, x)", "Sub (q, x)"))) == {"reweighted": 1}


FUNCTIONS = """
<ir_version: 9, opset_import: ["" : 17, "my" : 1]>
g (float[N] x) => (float[N] y) { a = my.twice (x) y = my.twice (a) }
<domain: "my", opset_import: ["" : 17]>
twice (v) => (w) { t = Neg (v) w = Add (t, t) }
"""


def test_functions() -> None:
    before = onnx.parser.parse_model(FUNCTIONS)
    renamed = graphopt.diff(before, onnx.parser.parse_model(FUNCTIONS.replace("twice", "double")))
    assert not renamed
    assert renamed.notes == ("function my.twice is named my.double",)
    found = graphopt.diff(before, onnx.parser.parse_model(FUNCTIONS.replace("Add (t, t)", "Mul (t, t)")))
    assert kinds(found) == {"removed": 1, "added": 1}
    assert found.removed[0].where == "function my.twice"


def test_opsets_and_constants_that_nothing_reads() -> None:
    before, after = network(CHAIN), network(CHAIN)
    after.graph.opset_imports[""] += 1
    after.graph.register_initializer(ir.val("spare", const_value=ir.tensor(np.zeros(3, np.float32))))
    found = graphopt.diff(before, after)
    assert kinds(found) == {"opsets": 1, "added_constants": 1}
    assert (found.opsets[0].domain, found.added_constants[0].constant) == ("ai.onnx", "spare")


def test_an_optimized_model_names_its_rewrites() -> None:
    before = network()
    after, _ = graphopt.optimize(before)
    found = graphopt.diff(before, after)
    assert ops(found.removed) == ["BatchNormalization"]
    assert not found.added
    assert found.reweighted[0].made_by == ("fold-batch-norm/ConvThenBatchNorm",)


def run(*arguments: object, code: int = 0) -> str:
    result = runner.invoke(build_app(), ["diff", *map(str, arguments)])
    assert result.exit_code == code, result.stderr
    return result.stdout


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(network(CHAIN), "a.onnx")
    save(network(CHAIN.replace("Relu (s)", "Elu <alpha = 0.5> (s)")), "b.onnx")
    save(graphopt.rename(network(CHAIN), {"y": "logits"}, prefix="p."), "c.onnx")
    text = run("a.onnx", "b.onnx")
    assert [line[0] for line in text.splitlines() if line] == ["-", "+", "1"]
    assert "\x1b" not in text
    assert "1 removed, 1 added" in text
    run("a.onnx", "b.onnx", "--exit-code", code=1)
    assert run("a.onnx", "c.onnx", "--exit-code").splitlines() == [
        "note: input 'x' is named 'p.x'",
        "note: output 'y' is named 'logits'",
        "",
        "no differences",
    ]
    found = json.loads(run("a.onnx", "b.onnx", "--json"))
    assert (found["equal"], found["before"], found["removed"][0]["op"]) == (False, "a.onnx", "Relu")


def test_what_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    good = tmp_path / "a.onnx"
    save(network(CHAIN), good)
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    for bad in (tmp_path / "none.onnx", text):
        for pair in ((good, bad), (bad, good)):
            result = runner.invoke(build_app(), ["diff", *map(str, pair)])
            assert (result.exit_code, result.stdout) == (ModelError.exit_code, "")
            assert bad.name in result.stderr
        with pytest.raises(ModelError, match=bad.name):
            graphopt.diff(good, bad)
