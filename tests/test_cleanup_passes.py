"""What the Markdown cases of the passes that clean up cannot say."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.catalog import passes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.pipeline.context import Context
from graphopt.targets import host


def run(name: str, model: ir.Model) -> int:
    """Run one pass by name, verified."""
    changes = passes()[name]().run(model, Context(host(), pass_name=name))
    verify(model)
    return changes


FUNCTIONS = """
<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
g (float[2] x) => (float[2] y) { y = local.f (x) }
<domain: "local", opset_import: ["" : 17]>
f (a) => (b) {
  p = Exp (a)
  q = Exp (a)
  i = Identity (p)
  dead = Neg (i)
  r = Add (i, q)
  b = Identity (r)
}
"""


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("eliminate-identity", ["Exp", "Exp", "Neg", "Add"]),
        ("deduplicate", ["Exp", "Identity", "Neg", "Add", "Identity"]),
        ("remove-dead-nodes", ["Exp", "Exp", "Identity", "Add", "Identity"]),
    ],
)
def test_functions_are_cleaned_too(name: str, left: list[str]) -> None:
    model = parse_model(FUNCTIONS)
    assert run(name, model) > 0
    (function,) = model.functions.values()
    assert [node.op_type for node in function] == left
    assert run(name, model) == 0


RANDOM_FUNCTION = """
<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
g (float[2] x) => (float[2] y, float[2] z) {
  a = local.{called} (x)
  b = local.{called} (x)
  y = Sub (a, b)
  z = Neg (b)
}
<domain: "local", opset_import: ["" : 17]>
noise (a) => (b) { b = RandomNormalLike (a) }
<domain: "local", opset_import: ["" : 17, "local" : 1]>
indirect (a) => (b) { b = local.noise (a) }
<domain: "local", opset_import: ["" : 17]>
pure (a) => (b) { b = Exp (a) }
"""


@pytest.mark.parametrize(("called", "merged"), [("noise", 0), ("indirect", 0), ("pure", 1)])
def test_calls_are_merged_if_all_that_they_call_is_pure(called: str, merged: int) -> None:
    model = parse_model(RANDOM_FUNCTION.replace("{called}", called))
    assert run("deduplicate", model) == merged


def test_equal_tensors_of_every_type_are_merged() -> None:
    model = parse_model("g (int64[1] i) => (int64[1] y) { y = Neg (i) }")
    types = [dtype for dtype in ir.DataType if dtype.name not in {"UNDEFINED", "STRING"}]
    for dtype in types:
        for copy in range(2):
            tensor = ir.Tensor(np.ones((2, 2), np.int8).astype(dtype.numpy()), dtype=dtype)
            value = ir.Value(name=f"{dtype.name}_{copy}", const_value=tensor)
            model.graph.register_initializer(value)
    assert run("deduplicate", model) == len(types)
    assert [name.endswith("_0") for name in model.graph.initializers] == [True] * len(types)


def test_removing_keeps_what_a_caller_relies_on() -> None:
    model = parse_model("g (float[2] x, float[2] unused) => (float[2] y) { y = Neg (x) }")
    assert run("remove-dead-nodes", model) == 0
    assert [value.name for value in model.graph.inputs] == ["x", "unused"]


def test_training_outputs_of_a_normalization_are_kept() -> None:
    """Before opset 14 their number says that it trains."""
    model = parse_model(
        "g (float[N,3,4,4] x) => (float[N,3,4,4] y) <float[3] s, float[3] b, float[3] m, float[3] var>"
        "{ y, m1, v1, m2, v2 = BatchNormalization (x, s, b, m, var) }",
        opset=9,
    )
    assert run("remove-dead-nodes", model) == 0


def test_inference_reaches_into_loops_without_trusting_first_shapes() -> None:
    model = parse_model(
        "g (int64 n, float[2] x) => (float[K] y) <bool go = {1}> { y = Loop (n, go, x) <body = b "
        "(int64 i, bool c, float[J] s) => (bool d, float[L] t) { d = Identity (c) t = Concat <axis=0> (s, s) }> }"
    )
    run("infer-shapes", model)
    body = next(iter(model.graph)).attributes["body"].as_graph()
    assert body.inputs[2].shape == ir.Shape(["J"])


def test_chains_of_thousands_take_no_recursion() -> None:
    steps = " ".join(f"x{i + 1} = Identity (x{i}) d{i} = Exp (x{i})" for i in range(3000))
    model = parse_model(f"g (float[2] x0) => (float[2] y) {{ {steps} y = Neg (x3000) }}")
    for name in ("deduplicate", "eliminate-identity", "remove-dead-nodes"):
        run(name, model)
    assert len(model.graph) == 1


def test_a_scalar_output_keeps_its_shape() -> None:
    model = parse_model("g (float x) => (float y) { a = Neg (x) y = Identity (a) }")
    model.graph[0].outputs[0].shape = None
    run("eliminate-identity", model)
    assert model.graph.outputs[0].shape == ir.Shape([])
