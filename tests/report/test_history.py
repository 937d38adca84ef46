"""The story of an optimization: what each pass made of which nodes, and that looking on changes nothing."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import onnx_ir as ir
import pytest

import graphopt
from graphopt.report.history import BETWEEN, History
from graphopt.report.story import Node, Story
from models import TOPOLOGIES
from tests.networks import network
from tests.odd_models import WORKING, Working
from tests.report.stories import by_op, check, nodes_of, told

TWICE = """
g (float[1,3,8,8] x) => (float[1,4,6,6] y)
<float[4,3,3,3] w, float[4] s1, float[4] b1, float[4] m1, float[4] v1,
 float[4] s2, float[4] b2, float[4] m2, float[4] v2>
{
    c = Conv (x, w)
    b = BatchNormalization (c, s1, b1, m1, v1)
    d = BatchNormalization (b, s2, b2, m2, v2)
    y = Relu (d)
}
"""


@pytest.mark.parametrize("name", ["shufflenet_v2", "squeezenet1.1", "densenet121"])
@pytest.mark.parametrize("pipeline", ["O1", "O3"])
def test_each_stage_has_the_size_that_the_report_says(name: str, pipeline: str) -> None:
    story, _ = told(TOPOLOGIES[name](image=32), pipeline)
    assert story.pipeline
    assert story.target


@pytest.mark.parametrize("working", WORKING, ids=lambda one: one.id)
def test_odd_models_have_histories(working: Working) -> None:
    told(ir.from_proto(working.model), "O3")


def test_a_fold_names_its_parents_and_its_past() -> None:
    story, _ = told(network())
    before, after = by_op(story, 0), by_op(story, -1)
    conv = after["Conv"]
    assert conv.parents == (before["Conv"].id, before["BatchNormalization"].id)
    assert conv.sources == ("c", "b")
    assert [(one.by, one.rule, one.at) for one in conv.made_by] == [("fold-batch-norm", "ConvThenBatchNorm", "b")]
    assert conv.id not in {node.id for node in before.values()}
    assert after["Relu"].id == before["Relu"].id
    assert after["Relu"].parents == ()


def test_parents_are_found_through_nodes_that_no_stage_shows() -> None:
    story, _ = told(network(TWICE), "fold-batch-norm")
    before, (conv, _) = nodes_of(story, 0), nodes_of(story, -1)
    assert conv.parents == tuple(node.id for node in before[:3])


def test_what_stays_is_one_record() -> None:
    story, _ = told(network())
    first, last = (story.stages[index].nodes for index in (0, -1))
    relu = [story.nodes[place].op for place in first].index("Relu")
    assert first[relu] == last[-1]
    assert story.stages[0].inputs == story.stages[-1].inputs


def test_remarks_are_of_the_nodes_that_they_name() -> None:
    read_twice = TWICE.replace("[1,4,6,6] y)", "[1,4,6,6] y, float[1,4,6,6] z)").replace(
        "y = Relu (d)", "y = Relu (d) z = Neg (c)"
    )
    story, _ = told(network(read_twice))
    fold = next(stage for stage in story.stages if stage.name == "fold-batch-norm")
    assert {remark.verdict for remark in fold.remarks} >= {"applied"}
    labels = {node.id: node.label for node in story.nodes}
    for remark in fold.remarks:
        assert remark.node is not None
        assert labels[remark.node].rpartition("(")[2] == remark.label.rpartition("(")[2]


def test_a_pass_that_did_nothing_says_why() -> None:
    text = (
        "g (float[1,3,8,8] x, float[4] s) => (float[1,4,8,8] y) <float[4,3,1,1] w, float[4] t> "
        "{ c = Conv (x, w) y = BatchNormalization (c, s, t, t, t) }"
    )
    story, _ = told(network(text), "fold-batch-norm,remove-dead-nodes")
    assert [one.name for one in story.idle] == ["fold-batch-norm", "remove-dead-nodes"]
    assert [stage.name for stage in story.stages] == ["before"]


def test_runs_of_a_fixpoint_are_counted() -> None:
    story, _ = told(network(TWICE), "fixpoint(infer-shapes,fold-batch-norm)")
    assert [(stage.name, stage.run) for stage in story.stages] == [
        (name, run) for name, run in [("before", 1), ("infer-shapes", 1), ("fold-batch-norm", 1), ("infer-shapes", 2)]
    ][: len(story.stages)]


def test_pipelines_that_follow_are_one_history() -> None:
    history = History()
    folded, _ = graphopt.optimize(network(), "fold-batch-norm", observer=history)
    folded.graph[1].op_type = "Sigmoid"
    graphopt.optimize(folded, "O3", observer=history)
    story = history.story()
    check(story)
    assert [stage.name for stage in story.stages][:3] == ["before", "fold-batch-norm", BETWEEN]
    relu, sigmoid = by_op(story, 0)["Relu"], by_op(story, 2)["Sigmoid"]
    assert sigmoid.parents == (relu.id,)
    assert by_op(story, 1)["Conv"].id == by_op(story, 2)["Conv"].id
    assert nodes_of(story, -1)[0].kernel == "ConvSigmoid"
    assert story.pipeline is not None
    assert story.pipeline.endswith("fuse-operators")


@pytest.mark.parametrize("pipeline", ["O2", "O3"])
def test_looking_on_changes_nothing(pipeline: str) -> None:
    model = TOPOLOGIES["shufflenet_v2"](image=32)
    alone, first = graphopt.optimize(model, pipeline)
    watched, second = graphopt.optimize(model, pipeline, observer=History())
    assert ir.to_proto(alone) == ir.to_proto(watched)
    assert [(one.text, one.changes, one.after) for one in first.passes] == [
        (one.text, one.changes, one.after) for one in second.passes
    ]
    assert first.remarks == second.remarks


def test_a_kernel_does_the_work_of_what_is_in_it() -> None:
    story, _ = told(network(TWICE), "O3")
    (fused,) = nodes_of(story, -1)
    assert fused.kernel == fused.op == "ConvRelu"
    assert fused.metrics["macs"] == 4 * 36 * 27
    assert fused.metrics["flops"] == 2 * 4 * 36 * 27 + 4 * 36
    assert fused.metrics["parameters"] == 4 * 27 + 4
    assert fused.metrics["bytes"] == 4 * (3 * 64 + 4 * 36 + 4 * 27 + 4)


def test_work_is_known_before_shapes_are_inferred_and_kept() -> None:
    story, _ = told(network(TWICE), "fold-batch-norm")
    assert all("macs" in node.metrics for node in (*nodes_of(story, 0), *nodes_of(story, -1)))
    assert not story.notes


def test_work_of_unknown_sizes_is_unknown() -> None:
    story, _ = told(network(TWICE.replace("[1,", "[N,")))
    assert all("macs" not in node.metrics and "bytes" not in node.metrics for node in nodes_of(story, -1))
    assert any("--input-shape" in note for note in story.notes)
    assert story.values[story.stages[0].inputs[0]].shape == ("N", 3, 8, 8)


def test_a_history_keeps_no_weights() -> None:
    model = network(TWICE)
    history = History()
    optimized, _ = graphopt.optimize(model, "infer-shapes", observer=history)
    held = [weakref.ref(value.const_value) for value in model.graph.initializers.values()]
    del model, optimized
    gc.collect()
    assert sum(one() is not None for one in held) == 0
    assert history.story().stages


def test_statistics_are_of_the_weights_as_they_are() -> None:
    model = network()
    story, _ = told(model)
    value = next(value for value in story.values if value.name == "w")
    weights = np.asarray(model.graph.initializers["w"].const_value)
    assert value.statistics is not None
    assert value.statistics.mean == pytest.approx(float(weights.mean()))
    assert sum(value.statistics.histogram) == weights.size


def find(story: Story, stage: int, name: str) -> Node:
    return next(node for node in nodes_of(story, stage) if node.name == name)


def test_parents_of_inlined_functions_and_branches_are_the_calls() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 18, "local" : 1]>
    g (float[2] x) => (float[2] y) {
        c = Constant <value = bool {1}> ()
        h = If (c) <then_branch = t () => (float[2] a) { a = Neg (x) },
            else_branch = e () => (float[2] b) { b = Abs (x) }>
        y = local.Twice (h)
    }
    <domain: "local", opset_import: ["" : 18]>
    Twice (u) => (v) { k = Exp (u)  v = Add (k, k) }
    """
    story, _ = told(network(text), "O2")
    before, after = nodes_of(story, 0), nodes_of(story, -1)
    ids = {node.op: node.id for node in before}
    made = {node.op: node for node in after}
    assert set(made) == {"Neg", "Exp", "Add"}
    assert set(made["Exp"].parents) <= {ids["Twice"], *ids.values()}
    inlined = {node.op: node for node in nodes_of(story, 1)}
    assert inlined["Exp"].parents == (ids["Twice"],)
    assert ids["If"] in made["Neg"].parents
    assert ids["Neg"] in made["Neg"].parents
    boxes = {node.op: node.scope for node in before}
    assert boxes["Neg"] == ("h.then_branch",)
    assert boxes["Exp"] == ("function local.Twice",)


def test_a_model_that_is_as_it_was_is_no_new_stage() -> None:
    lines = [f"v{index} = Relu (v{index - 1})" for index in range(1, 2000)]
    model = network(f"g (float[4] v0) => (float[4] v1999) {{ {' '.join(lines)} }}")
    history = History()
    history.look("model", model)
    history.look("the same", model)
    story = history.story()
    check(story)
    assert len(story.stages) == 1
    assert len(story.nodes) == 1999
    assert len(story.values) == 2000
