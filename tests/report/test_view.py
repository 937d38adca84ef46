"""A model as a page: scopes, constants, odd models, names that try to break out, and other forms."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

import graphopt
from graphopt.compiler.diff import Comparison
from graphopt.errors import MeasurementError, ModelError, OutputError
from graphopt.ir.materialize import tensor_of
from graphopt.ir.save import save
from graphopt.report import export
from graphopt.report.constants import BINS, SAMPLED, content, sample, statistics
from graphopt.report.dot import dot
from graphopt.report.html import page, write_report
from graphopt.report.scopes import modules
from graphopt.report.story import Kind, Story, ValueKind
from tests.networks import network
from tests.report.stories import by_op, check, embedded, nodes_of

EVIL = """</script><script>alert(1)</script><!-- ]]> "quoted" 'so' \\ back\\slash \u2028 \x01 名前 &amp; {a|b}\nline"""
ATTACHED = """
g (float[1,4] x, int64 n) => (float[1,4] y) <float[4,4] w, float[4] b = {0, 0, 1, 2}> {
    m = MatMul (x, w)
    s = Add (m, b)
    t = Constant <value = bool {1}> ()
    y = Loop (n, t, s) <body = inner (int64 i, bool c, float[1,4] z) => (bool d, float[1,4] r) {
        d = Identity (c)
        r = Add (z, m)
    }>
}
"""


def story_of(model: ir.Model, **shapes: list[int]) -> Story:
    story = graphopt.view(model, shapes=shapes or None).story()
    check(story)
    return story


def test_a_view_is_one_stage() -> None:
    story = story_of(network(ATTACHED))
    (stage,) = story.stages
    assert story.kind is Kind.MODEL
    assert stage.size == {"nodes": 5, "parameters": 16 + 4 + 1}
    nodes = {node.name or node.label: node for node in nodes_of(story, 0)}
    inner = nodes["Add (-> r)"]
    assert inner.scope == ("y.body",)
    assert nodes["Loop (-> y)"].attributes == {"body": "2 nodes"}
    captured, outer = inner.inputs[1], nodes["MatMul (-> m)"].outputs[0]
    assert captured == outer
    values = {value.name: value for value in story.values}
    assert (values["x"].kind, values["w"].kind, values["m"].kind) == (
        ValueKind.INPUT,
        ValueKind.CONSTANT,
        ValueKind.VALUE,
    )
    assert values["b"].text == "[0.0, 0.0, 1.0, 2.0]"
    assert values["b"].statistics is not None
    assert values["b"].statistics.zeros == 0.5
    assert values["m"].shape == (1, 4)
    assert nodes["MatMul (-> m)"].metrics == {"macs": 16, "flops": 32, "bytes": 4 * 24, "parameters": 16, "zeros": 0.0}


def test_a_file_gives_its_name_and_its_external_data(tmp_path: Path) -> None:
    save(network(), tmp_path / "model.onnx", external_data=True, smallest_external=0)
    story = graphopt.view(tmp_path / "model.onnx", shapes={"x": [2, 3, 8, 8]}).story()
    check(story)
    assert story.title == "model.onnx"
    assert {value.name for value in story.values if value.statistics} == {"w", "scale", "shift", "mean", "var"}
    assert by_op(story, 0)["Conv"].metrics["macs"] == 2 * 4 * 64 * 27
    with pytest.raises(ModelError, match="rank|dimension"):
        graphopt.view(tmp_path / "model.onnx", shapes={"x": [2]})


def test_a_graph_without_nodes() -> None:
    story = story_of(network("g (float[2] x) => (float[2] x) {}"))
    assert story.nodes == ()
    assert story.stages[0].inputs == story.stages[0].outputs == (0,)
    assert_well_formed(dot(story))


def test_the_model_stays_as_it_is() -> None:
    model = network(ATTACHED)
    before = ir.to_proto(model)
    graphopt.view(model)
    assert ir.to_proto(model) == before


@pytest.mark.parametrize(
    ("name", "metadata", "found"),
    [
        ("/layer1/layer1.0/conv1/Conv", {}, ("layer1", "layer1/layer1.0", "layer1/layer1.0/conv1")),
        ("stem/Conv_1", {}, ("stem",)),
        ("Conv_1", {}, ()),
        ("n", {"pkg.torch.onnx.name_scopes": "['', 'layer1', 'layer1.0', 'conv2d']"}, ("layer1", "layer1.0")),
        ("a/n", {"pkg.torch.onnx.name_scopes": "[['"}, ("a",)),
        ("a/n", {"pkg.torch.onnx.name_scopes": "__import__('os')"}, ("a",)),
        ("a/n", {"pkg.torch.onnx.name_scopes": "3"}, ("a",)),
    ],
)
def test_modules_are_read_from_names_and_metadata(name: str, metadata: dict[str, str], found: tuple[str, ...]) -> None:
    assert modules(ir.Node("", "Conv", [], name=name, num_outputs=1, metadata_props=metadata)) == found


def test_modules_of_one_node_have_no_box() -> None:
    model = network('g (float[2] x) => (float[2] y) { ["a/b/n"] h = Neg (x)  ["a/c/n"] y = Abs (h) }')
    assert [node.scope for node in nodes_of(story_of(model), 0)] == [("a",), ("a",)]


def test_statistics() -> None:
    array = np.concatenate([np.zeros(50), np.linspace(-1, 3, 50)]).astype(np.float32)
    found = statistics(ir.tensor(array))
    assert found is not None
    assert (found.min, found.max, found.zeros) == (-1, 3, 0.5)
    assert found.mean == pytest.approx(float(array.mean()))
    assert found.std == pytest.approx(float(array.std()))
    assert list(found.histogram) == np.histogram(array, BINS)[0].tolist()


@pytest.mark.parametrize("value", [0.0, 3.5, 5e-324, -1.7e308])
def test_statistics_of_equal_numbers(value: float) -> None:
    found = statistics(ir.tensor(np.full(7, value)))
    assert found is not None
    assert (found.min, found.max, found.std) == (value, value, 0)
    assert found.histogram == (7, *[0] * (BINS - 1))


def test_statistics_leave_out_what_is_not_finite() -> None:
    found = statistics(ir.tensor(np.array([np.nan, np.inf, 0, 1], np.float32)))
    assert found is not None
    assert (found.min, found.max, found.zeros) == (0, 1, 0.25)
    assert statistics(ir.tensor(np.array([np.nan], np.float32))) is None
    assert statistics(ir.tensor(np.array([], np.float32))) is None
    assert statistics(ir.tensor(np.array([True]))) is None
    assert statistics(tensor_of(np.array(["a"], object))) is None
    extremes = statistics(ir.tensor(np.array([-1.7e308, 1.7e308])))
    assert extremes is not None
    json.dumps(extremes.to_dict(), allow_nan=False)


def test_large_constants_are_sampled_and_said_to_be() -> None:
    columns = 1 << 6
    array = np.tile(np.arange(columns, dtype=np.float32), (SAMPLED // 8, 1))
    taken = sample(array)
    assert SAMPLED // 2 <= taken.size <= SAMPLED
    assert np.bincount(taken.astype(int)).min() > 0.9 * taken.size / columns
    model = network("g (float[1] x) => (float[1] y) { y = Neg (x) }")
    weight = ir.Value(name="w", const_value=ir.tensor(np.ones(SAMPLED + 1, np.float32)))
    model.graph.register_initializer(weight)
    model.graph.append(ir.node("ReduceSum", [weight], outputs=[ir.Value(name="s")]))
    assert any("sample" in note for note in story_of(model).notes)


@pytest.mark.parametrize(
    "dtype", ["BFLOAT16", "FLOAT16", "INT4", "UINT8", "FLOAT8E4M3FN", "BOOL", "COMPLEX64", "INT64"]
)
def test_small_constants_of_every_type_are_written_out(dtype: str) -> None:
    tensor = tensor_of(np.array([0, 1, 1]).astype(ir.DataType[dtype].numpy()))
    assert content(tensor)
    found = statistics(tensor)
    assert found is None or found.max == 1


def evil_model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Neg", ["x"], [EVIL], name=EVIL, doc_string=EVIL),
        helper.make_node("Abs", [EVIL], ["y"], name=f"a/{EVIL}/n"),
        helper.make_node("Abs", ["y"], ["z"], name=f"a/{EVIL}/m"),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("x", "z")]
    return helper.make_model(
        helper.make_graph(nodes, EVIL, ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 17)]
    )


def test_names_cannot_break_out_of_the_page() -> None:
    story = graphopt.view(evil_model()).story()
    text = page(story)
    assert "alert(1)" not in text.replace("&lt;script&gt;alert(1)", "")
    assert embedded(text) == json.loads(json.dumps(story.to_dict()))
    assert embedded(text)["title"] == EVIL
    assert "Content-Security-Policy" in text
    framed = graphopt.view(evil_model())._repr_html_()
    assert framed.count("<") == 2
    assert framed.count('"') == 6


def test_names_cannot_break_out_of_dot() -> None:
    story = graphopt.view(evil_model()).story()
    text = dot(story)
    assert_well_formed(text)
    assert "名前" in text


def test_surrogates_are_replaced(tmp_path: Path) -> None:
    story = Story(Kind.MODEL, "\ud800", (), (), ())
    for suffix in (".html", ".dot"):
        export.write(story, tmp_path / f"x{suffix}")
    assert embedded(tmp_path / "x.html")["title"] == "?"


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_what_is_written(tmp_path: Path) -> None:
    for name, model in (("evil", evil_model()), ("loop", ir.to_proto(network(ATTACHED)))):
        graphopt.view(model).write(tmp_path / f"{name}.dot")
        subprocess.run(["dot", "-Tsvg", f"{name}.dot", "-o", f"{name}.svg"], cwd=tmp_path, check=True)


def test_dot_has_nodes_clusters_and_edges() -> None:
    text = dot(story_of(network(ATTACHED)))
    assert_well_formed(text)
    assert len(re.findall(r"^ *node\d+ \[", text, re.MULTILINE)) == 5
    assert 'label="y.body"' in text
    assert len(re.findall(r"->", re.sub(r'"(?:[^"\\]|\\.)*"', "", text))) == 6  # one is captured by the loop


def assert_well_formed(text: str) -> None:
    """Read DOT as its grammar says, as far as we write it."""
    token = re.compile(r'\s*("(?:[^"\\]|\\.)*"|->|[{}\[\];=,]|[A-Za-z_][A-Za-z_0-9]*|\d+)', re.DOTALL)
    position, depth, tokens = 0, 0, []
    text = text.rstrip()
    while position < len(text):
        found = token.match(text, position)
        assert found, text[position : position + 60]
        tokens.append(found[1])
        depth += {"{": 1, "}": -1}.get(found[1], 0)
        assert depth >= 0
        position = found.end()
    assert depth == 0
    assert tokens[0] == "digraph"


def test_a_page_is_written_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = graphopt.view(network())
    path = tmp_path / "page.html"
    view.write(path)
    before = path.read_bytes()

    def fails(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OutputError, match="No space left"):
        write_report(view.story(), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("py_mini_racer")
    pytest.importorskip("resvg_py")
    view = graphopt.view(network())
    view.write(tmp_path / "m.svg")
    view.write(str(tmp_path / "m.png"))
    assert (tmp_path / "m.svg").read_text(encoding="utf-8").startswith("<svg")
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_forms_that_are_not_known_or_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = graphopt.view(network())
    with pytest.raises(OutputError, match=r"\.html, \.dot, \.svg, \.png"):
        view.write(tmp_path / "m.pdf")
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    with pytest.raises(MeasurementError, match=r"pip install 'graphopt\[view\]'"):
        view.write(tmp_path / "m.svg")


def test_a_comparison_knows_which_nodes_are_the_same() -> None:
    before = network()
    after, _ = graphopt.optimize(before)
    story = Comparison.of(before, after).page().story()
    check(story)
    assert story.kind is Kind.DIFF
    one, other = by_op(story, 0), by_op(story, 1)
    assert [stage.name for stage in story.stages] == ["before", "after"]
    assert other["Relu"].id == one["Relu"].id
    assert one["BatchNormalization"].id in other["Conv"].parents
    same = Comparison.of(before, before).page().story()
    assert same.stages[0].nodes == same.stages[1].nodes


def test_reports_and_differences_are_tables_in_a_notebook() -> None:
    before = network(ATTACHED.replace("[1,4]", "[1,4]"))
    after, report = graphopt.optimize(network())
    assert "<td>fold-batch-norm</td>" in report._repr_html_()
    assert "3 → 2 nodes" in report._repr_html_()
    assert "removed" in graphopt.diff(network(), after)._repr_html_()
    assert "no differences" in graphopt.diff(before, before)._repr_html_()
