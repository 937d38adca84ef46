"""Renaming: the same answers under other names, in every scope, and no name twice."""

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
from graphopt.ir.walk import scopes

TEXT = """
g (float[N,4] "in:0", bool c) => (float[N,4] y)
<float[4,4] w>
{
    ["layer/1"] "a/b" = MatMul ("in:0", w)
    [n2] "a:b" = Neg ("a/b")
    y = If (c) <then_branch = t () => (p) { q = Add ("a/b", "a:b")  p = Relu (q) },
                else_branch = e () => (p) { q = Abs ("a:b")  p = Neg (q) }>
}
"""


def model() -> ir.Model:
    text = TEXT.replace('"in:0"', "in").replace('"a/b"', "ab").replace('"a:b"', "a_b").replace('["layer/1"]', "[n1]")
    parsed = parse_model(text)
    names = {"in": "in:0", "ab": "a/b", "a_b": "a:b"}
    for value in (*parsed.graph.inputs, *(value for node in parsed.graph for value in node.outputs)):
        value.name = names.get(value.name, value.name)
    parsed.graph[0].name, parsed.graph[1].name = "layer/1", "n2"
    return parsed


def names(of: ir.Model) -> set[str]:
    made = {value.name for scope in scopes(of) for node in scope for value in node.outputs}
    return made | {value.name for value in of.graph.inputs} | set(of.graph.initializers)


def answers(of: ir.Model) -> np.ndarray:
    original = random_feeds(model(), seed=2)
    feeds = dict(zip((str(value.name) for value in of.graph.inputs), original.values(), strict=True))
    onnx.checker.check_model(ir.to_proto(of))
    return next(iter(evaluate(of, feeds).values()))


def test_single_names() -> None:
    renamed = graphopt.rename(model(), {"in:0": "image", "y": "logits", "w": "weight", "a/b": "h", "layer/1": "first"})
    assert names(renamed) == {"image", "c", "weight", "h", "a:b", "logits", "q", "p"}
    assert renamed.graph[0].name == "first"
    np.testing.assert_array_equal(answers(renamed), answers(model()))


def test_names_may_be_exchanged() -> None:
    renamed = graphopt.rename(model(), {"a/b": "a:b", "a:b": "a/b", "w": "c", "c": "w"})
    assert renamed.graph[0].outputs[0].name == "a:b"
    np.testing.assert_array_equal(answers(renamed), answers(model()))


def test_a_prefix_goes_before_all_others() -> None:
    renamed = graphopt.rename(model(), {"y": "logits"}, prefix="e.")
    assert names(renamed) == {"e.in:0", "e.c", "e.w", "e.a/b", "e.a:b", "logits", "e.q", "e.p"}
    assert [node.name for node in renamed.graph][:2] == ["e.layer/1", "e.n2"]
    np.testing.assert_array_equal(answers(renamed), answers(model()))


def test_c_identifiers() -> None:
    renamed = graphopt.rename(model(), {"c": "int", "q": "9"}, sanitize=True)
    assert names(renamed) == {"in_0", "int", "w", "a_b", "a_b_1", "y", "9", "p"}
    twice = graphopt.rename(renamed, sanitize=True)
    assert names(twice) == {"in_0", "_int", "w", "a_b", "a_b_1", "y", "_9", "p"}
    np.testing.assert_array_equal(answers(twice), answers(model()))


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"yy": "z"}, "no value or node 'yy'; did you mean 'y'"),
        ({"y": "w"}, "'y' cannot become 'w': that name is taken"),
        ({"y": "q"}, "that name is taken"),
        ({"y": "z", "w": "z"}, "two names would become 'z'"),
        ({"y": ""}, "is empty"),
        ({"layer/1": "n2"}, "that name is taken"),
    ],
)
def test_what_cannot_be_renamed_has_a_reason(wanted: dict[str, str], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        graphopt.rename(model(), wanted)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(model(), "m.onnx")
    run = CliRunner().invoke
    done = run(build_app(), ["rename", "m.onnx", "y=logits", "in:0=x", "-o", "r.onnx"])
    assert (done.exit_code, done.stdout) == (0, "r.onnx: written\n"), done.stderr
    assert [value.name for value in load("r.onnx").graph.inputs] == ["x", "c"]
    for arguments, code in ((["y"], 2), ([], 2), (["y=a", "y=b"], 2), (["=a"], 2), (["z=a"], 3), (["y=w"], 3)):
        failed = run(build_app(), ["rename", "m.onnx", *arguments, "-o", "q.onnx"])
        assert (failed.exit_code, failed.stdout) == (code, ""), arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "r.onnx"]


def test_large_tensors_go_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(model(), "m.onnx")
    run = CliRunner().invoke
    options = ["--external-data", "--external-threshold", "64"]
    for command in (["optimize", "m.onnx"], ["rename", "m.onnx", "y=z"], ["extract", "m.onnx", "--outputs", "a/b"]):
        out = f"{command[0]}.onnx"
        assert run(build_app(), [*command, "-o", out, *options]).exit_code == 0
        assert (tmp_path / f"{out}.data").stat().st_size == 64
        assert isinstance(load(out).graph.initializers["w"].const_value, ir.ExternalTensor)
    assert run(build_app(), ["optimize", "optimize.onnx", "-o", "one.onnx", "--inline-data"]).exit_code == 0
    assert not (tmp_path / "one.onnx.data").exists()
