"""Cutting a model: the same values between the same names, and a sentence where it cannot be cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.cli.main import build_app
from graphopt.errors import ModelError
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify

TEXT = """
g (float[N,4] x, float[N,4] z, bool c) => (float[N,4] y, float[N,4] v)
<float[4,4] w, float[4,4] u, float[4] b>
{
    m = MatMul (x, w)
    a = Add (m, b)
    s, t = Split <axis = 1> (a)
    f = own.twice (a)
    i = If (c) <then_branch = t () => (p) { q = Add (f, z)  p = Relu (q) }, else_branch = e () => (r) { r = Neg (m) }>
    y = MatMul (i, u)
    v = Mul (z, z)
}
<domain: "own", opset_import: ["" : 17]> twice (h) => (d) { d = Add (h, h) }
<domain: "own", opset_import: ["" : 17]> thrice (h) => (d) { d = Sum (h, h, h) }
"""


def model() -> ir.Model:
    return parse_model(TEXT)


@pytest.mark.parametrize(
    ("inputs", "outputs", "nodes", "weights"),
    [
        (["x"], ["a"], 2, {"w", "b"}),
        (["a"], ["f"], 1, set()),
        (["m"], ["a", "s"], 2, {"b"}),
        (["m", "z", "c"], ["y"], 4, {"b", "u"}),
        (["m", "f", "z", "c"], ["y", "m"], 2, {"u"}),
        (["s"], ["s"], 0, set()),
        (None, ["v"], 1, set()),
        (["x", "w"], ["m"], 1, set()),
        (["i"], None, 0, set()),
    ],
)
def test_the_part_computes_what_the_whole_did(
    inputs: list[str] | None, outputs: list[str] | None, nodes: int, weights: set[str]
) -> None:
    whole = model()
    if outputs is None:
        whole.graph.outputs.pop()
        nodes, weights = 1, {"u"}
    part = graphopt.extract(whole, inputs, outputs)
    verify(part, types=True)
    onnx.checker.check_model(ir.to_proto(part))
    assert (part.graph.num_nodes(), set(part.graph.initializers)) == (nodes, weights)
    assert inputs in (None, [value.name for value in part.graph.inputs])
    called = {node.op_type for node in part.graph if node.domain}
    assert {function.name for function in part.functions.values()} == called
    feeds = random_feeds(whole, seed=1)
    known = evaluate(exposed(whole), feeds) | feeds | constants(whole)
    actual = evaluate(part, {str(value.name): known[str(value.name)] for value in part.graph.inputs})
    for name, array in actual.items():
        np.testing.assert_array_equal(array, known[name])


def exposed(whole: ir.Model) -> ir.Model:
    copy = load(whole)
    given = set(copy.graph.outputs)
    made = [value for node in copy.graph for value in node.outputs if value not in given]
    for value in made:
        value.type = ir.TensorType(ir.DataType.FLOAT)
    copy.graph.outputs.extend(made)
    return copy


def constants(whole: ir.Model) -> dict[str, np.ndarray]:
    return {name: value.const_value.numpy() for name, value in whole.graph.initializers.items()}


def test_new_inputs_have_the_shapes_that_inference_finds() -> None:
    part = graphopt.extract(model(), ["a"], ["s"])
    assert [(value.dtype, str(value.shape)) for value in part.graph.inputs] == [(ir.DataType.FLOAT, "[N,4]")]


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        (["x"], ["ab"], "no value 'ab'"),
        (["x"], ["aa"], "did you mean 'a'"),
        (["x"], ["y"], "output 'y' needs the input '(c|z)', which is not named"),
        (["z", "x"], ["a"], "no output hangs on the input 'z'"),
        (["q"], ["y"], "'q' lies inside of a subgraph"),
        (["d"], ["f"], "'d' lies inside of a subgraph or a function"),
        (["x", "x"], ["a"], "'x' is named twice"),
        (["x"], ["a", "a"], "'a' is named twice"),
    ],
)
def test_what_cannot_be_cut_has_a_reason(inputs: list[str], outputs: list[str], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        graphopt.extract(model(), inputs, outputs)
    assert "\n" not in str(caught.value)


def test_an_input_of_unknown_type_is_refused() -> None:
    text = "g (float[2] x) => (float[2] y) { h = com.microsoft.Mystery (x)  y = com.microsoft.Mystery (h) }"
    with pytest.raises(ModelError, match="the type of 'h' of Mystery"):
        graphopt.extract(parse_model(text), ["h"], ["y"])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(model(), "m.onnx")
    run = CliRunner().invoke
    done = run(build_app(), ["extract", "m.onnx", "-o", "p.onnx", "--inputs", "x", "--outputs", "a, s"])
    assert (done.exit_code, done.stdout) == (0, "p.onnx: written, 3 nodes\n"), done.stderr
    assert [value.name for value in load("p.onnx").graph.outputs] == ["a", "s"]
    failed = run(build_app(), ["extract", "m.onnx", "-o", "q.onnx", "--outputs", "yy"])
    assert (failed.exit_code, failed.stdout, failed.stderr.count("\n")) == (3, "", 1)
    assert run(build_app(), ["extract", "m.onnx", "-o", "q.onnx"]).exit_code == 2
    assert run(build_app(), ["extract", "absent.onnx", "-o", "q.onnx", "--outputs", "y"]).exit_code == 3
    assert run(build_app(), ["extract", "m.onnx", "-o", "absent/q.onnx", "--outputs", "y"]).exit_code == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "p.onnx"]
