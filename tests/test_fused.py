"""Kernels in the IR: inlined they are the nodes that they were made of, and statistics see through them."""

from __future__ import annotations

import onnx_ir as ir
import pytest

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.inspect.statistics import count_nodes, statistics
from graphopt.ir.fused import DOMAIN, inline_kernels
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.numerics import DEFAULT_TOLERANCE, differences
from graphopt.rewrite.provenance import provenance

TWO_BLOCKS = """
g (bool b, float[2,3,8,8] x) => (float[2,3,8,8] y, float[2,3] z)
<float[3,3,1,1] v, float[3,3,1,1] w, float low = {0}>
{ c = Conv (x, v)
  d = Clip (c, low)
  e = Conv (d, w)
  y = Clip (e, low)
  g = GlobalAveragePool (y)
  z = If (b) <
    then_branch = t () => (float[2,3] p) { f = Flatten (g) q = Exp (f) p = Neg (q) },
    else_branch = e () => (float[2,3] n) { n = Flatten (g) }
  > }
"""


@pytest.fixture
def plain() -> ir.Model:
    return graphopt.optimize(parse_model(TWO_BLOCKS), "infer-shapes").model


@pytest.fixture
def fused(plain: ir.Model) -> ir.Model:
    return graphopt.optimize(plain, "fuse-operators").model


def test_statistics_count_each_call(plain: ir.Model, fused: ir.Model) -> None:
    before, after = statistics(plain), statistics(fused)
    assert (before.kernels, after.kernels) == ({}, {"ConvClip": 2, "ExpNeg": 1})
    assert (before.nodes, after.nodes) == (10, 7)
    assert after.ops == before.ops
    assert (after.macs, after.flops, after.parameters) == (before.macs, before.flops, before.parameters)
    assert not after.uncounted


def test_inlining_gives_the_nodes_back(plain: ir.Model, fused: ir.Model) -> None:
    feeds = random_feeds(plain, seed=0)
    assert inline_kernels(fused) == 3
    verify(fused, types=True)
    assert count_nodes(fused) == count_nodes(plain)
    assert not fused.functions
    assert DOMAIN not in fused.opset_imports
    assert all(
        found.error <= DEFAULT_TOLERANCE for found in differences(evaluate(plain, feeds), evaluate(fused, feeds))
    )
    assert inline_kernels(fused) == 0


def test_a_call_knows_where_it_comes_from(fused: ir.Model) -> None:
    past = provenance(next(node for node in fused.graph if node.domain == DOMAIN))
    assert past is not None
    assert len(past.sources) == 2
    assert str(past.rewrites[-1]) == "fuse-operators/ConvClip at 'd'"


def test_functions_that_others_put_into_the_domain_are_left_alone() -> None:
    model = parse_model("""
    g (float[2] x) => (float[2] y, float[2] z, float[2] u)
    { y = graphopt.fused.ExpNeg <alpha = 0.5> (x)  a = Exp (x)  z = Neg (a)  u = Abs (z) }
    <domain: "graphopt.fused", opset_import: ["" : 17]> ExpNeg <alpha> (x) => (y)
    { a = LeakyRelu <alpha: float = @alpha> (x)  y = Neg (a) }
    """)
    feeds = random_feeds(model, seed=0)
    fused = graphopt.optimize(model, "infer-shapes,fuse-operators").model
    assert [node.op_type for node in fused.graph] == ["ExpNeg", "ExpNeg_1", "Abs"]
    assert inline_kernels(fused) == 1
    verify(fused, types=True)
    assert [node.op_type for node in fused.graph] == ["ExpNeg", "Exp", "Neg", "Abs"]
    assert all(
        found.error <= DEFAULT_TOLERANCE for found in differences(evaluate(model, feeds), evaluate(fused, feeds))
    )
