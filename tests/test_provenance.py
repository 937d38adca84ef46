"""Nodes know their past, `why` tells it, `why-not` tells what was refused."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

import graphopt
from graphopt.compiler.why import Fate, why, why_not
from graphopt.errors import ModelError, PipelineError
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.rewrite.provenance import KEY, MOST, Origin, Provenance, merged, provenance, strip_provenance
from tests.networks import network

CHAIN = """
g (float[N,3,8,8] x) => (float[N,4,8,8] y)
<float[4,3,3,3] w, float[4] s1, float[4] b1, float[4] m1, float[4] var1,
 float[4] s2, float[4] b2, float[4] m2, float[4] var2>
{
    c = Conv (x, w)
    b = BatchNormalization (c, s1, b1, m1, var1)
    d = BatchNormalization (b, s2, b2, m2, var2)
    y = Relu (d)
}
"""
SHARED_CONV = """
g (float[N,3,8,8] x) => (float[N,4,6,6] y, float[N,4,6,6] z)
<float[4,3,3,3] w, float[4] s, float[4] b, float[4] m, float[4] var>
{ c = Conv (x, w) y = BatchNormalization (c, s, b, m, var) z = Neg (c) }
"""


def test_the_past_survives_rewrites_and_files(tmp_path: Path) -> None:
    model, _ = graphopt.optimize(network(CHAIN.replace("8,8] y", "6,6] y")))
    save(model, tmp_path / "m.onnx")
    past = provenance(load(tmp_path / "m.onnx").graph[0])
    assert past is not None
    assert past.sources == ("c", "b", "d")
    assert [one.rule for one in past.rewrites] == ["BatchNormTwice", "ConvThenBatchNorm"]
    assert str(past.rewrites[1]) == "fold-batch-norm/ConvThenBatchNorm at 'd'"
    assert provenance(model.graph[1]) is None


def test_the_past_is_bounded() -> None:
    nodes = [ir.Node("", "Relu", [], num_outputs=1, name=f"n{index}") for index in range(MOST + 3)]
    past = merged(nodes, Origin("p", "R", "y"))
    assert (len(past.sources), past.rewrites, past.more) == (MOST, (Origin("p", "R", "y"),), 3)
    nodes[0].metadata_props[KEY] = past.to_text()
    assert provenance(nodes[0]) == past


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"from": 3}', '{"from": [], "by": [["p"]]}'])
def test_foreign_metadata_is_no_past(text: str) -> None:
    assert provenance(ir.Node("", "Relu", [], metadata_props={KEY: text})) is None


def test_the_past_can_be_stripped() -> None:
    model, _ = graphopt.optimize(network())
    assert (strip_provenance(model), strip_provenance(model)) == (1, 0)
    stripped, report = graphopt.optimize(network(), "O2,strip-provenance")
    assert not any(KEY in node.metadata_props for node in stripped.graph)
    assert report.passes[-1].changes == 1


def test_why() -> None:
    made = why(network(), "b")
    assert (made.fate, made.past.sources) == (Fate.MADE, ("c", "b"))
    assert [remark.message for remark in made.remarks] == ["Conv + BatchNormalization -> Conv"]
    gone = why(network(), "c")
    assert (gone.fate, gone.became, gone.past) == (Fate.GONE, ("Conv (-> b)",), Provenance())
    kept = why(network(), "y")
    assert (kept.fate, kept.past.sources, kept.remarks) == (Fate.KEPT, ("y",), ())
    with pytest.raises(ModelError, match="no node of the model is named 'yy' or has such an output"):
        why(network(), "yy")


def test_why_not() -> None:
    refused = why_not(network(SHARED_CONV), "y", "fold-batch-norm")
    assert [remark.message for remark in refused.missed] == ["the output of Conv (-> c) is also read by Neg (-> z)"]
    assert (refused.applied, refused.added) == ((), False)
    assert why_not(network(SHARED_CONV), "c", "fold-batch-norm").missed == refused.missed
    unfit = why_not(network(), "y", "fold-batch-norm", "remove-dead-nodes")
    assert (unfit.added, unfit.missed) == (True, ())
    assert "BatchNormalization" in unfit.begins_at
    with pytest.raises(PipelineError, match="unknown pass"):
        why_not(network(), "y", "fold-batchnorm")


def test_a_name_that_is_close_is_suggested() -> None:
    with pytest.raises(ModelError, match="did you mean 'conv_first'"):
        why(network("g (float[2] x) => (float[2] y) { conv_first = Neg (x) y = Relu (conv_first) }"), "conv_frist")
