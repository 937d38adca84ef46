"""What the cases of tests/passes/inline-functions.md cannot show."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.catalog import passes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.pipeline.manager import PassManager
from graphopt.pipeline.text import parse_pipeline
from graphopt.rewrite.provenance import provenance
from graphopt.targets import host

HEADER = '<ir_version: 10, opset_import: ["" : 17, "local" : 1]>'


def inlined(text: str, pipeline: str = "inline-functions") -> tuple[ir.Model, list[str]]:
    model = parse_model(text)
    report = PassManager(parse_pipeline(pipeline, passes()), host()).run(model)
    verify(model)
    return model, [str(remark) for remark in report.remarks]


def test_an_output_that_is_an_input_gets_a_node_to_carry_its_name() -> None:
    """A case would be executed, and onnxruntime does not load such a function."""
    model, _ = inlined(
        f"""{HEADER} g (float[N,2] x) => (float[N,2] y, float[N,2] z) {{ y, z = local.f (x) }}
        <domain: "local", opset_import: ["" : 17]> f (a) => (a, b) {{ b = Neg (a) }}"""
    )
    assert [value.name for value in model.graph.outputs] == ["y", "z"]
    assert sorted(node.op_type for node in model.graph) == ["Identity", "Neg"]


def test_inlined_nodes_come_from_their_call() -> None:
    model, _ = inlined(
        f"""{HEADER} g (float[N,2] x) => (float[N,2] y) {{ y = local.outer (x) }}
        <domain: "local", opset_import: ["" : 17, "local" : 1]> outer (a) => (b) {{ b = local.inner (a) }}
        <domain: "local", opset_import: ["" : 17]> inner (a) => (b) {{ b = Neg (a) }}"""
    )
    (node,) = model.graph
    past = provenance(node)
    assert past is not None
    assert past.sources == ("y",)
    assert [rewrite.rule for rewrite in past.rewrites] == ["outer", "inner"]


def test_the_domains_of_a_body_are_imported() -> None:
    model, _ = inlined(
        f"""{HEADER} g (float[N,2] x) => (float[N,2] y) {{ y = local.f (x) }}
        <domain: "local", opset_import: ["" : 17, "ai.onnx.ml" : 3]>
        f (a) => (b) {{ b = ai.onnx.ml.Scaler <offset = [0.5], scale = [2.0]> (a) }}"""
    )
    assert model.opset_imports["ai.onnx.ml"] == 3
    assert not model.functions
