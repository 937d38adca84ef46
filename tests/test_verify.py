"""The verifier: each law broken once, and its cost."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.errors import ModelError
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify

VALID = """
g (bool c, float[2] x) => (float[2] y)
<float[2] w>
{
    a = Add (x, w)
    b = If (c) <
        then_branch = t () => (float[2] r) { q = Relu (a) r = own.double (q) },
        else_branch = e () => (float[2] s) { q = Neg (x) s = Identity (q) }>
    y = Relu (b)
}
<domain: "own"> double (v) => (u) { u = Add (v, v) }
"""


def nodes(model: ir.Model) -> dict[str, ir.Node]:
    return {node.op_type: node for node in model.graph.all_nodes()}


def branch(model: ir.Model) -> ir.Graph:
    return nodes(model)["If"].attributes["then_branch"].as_graph()


def rename(model: ir.Model) -> None:
    nodes(model)["Relu"].outputs[0].name = "a"


def rename_in_branch(model: ir.Model) -> None:
    branch(model)[0].outputs[0].name = "w"


def no_name(model: ir.Model) -> None:
    nodes(model)["Add"].outputs[0].name = None


def swap(model: ir.Model) -> None:
    relu = model.graph[-1]
    model.graph.remove(relu)
    model.graph.insert_before(model.graph[0], relu)


def close_cycle(model: ir.Model) -> None:
    model.graph[0].replace_input_with(1, model.graph[-1].outputs[0])


def dangle(model: ir.Model) -> None:
    model.graph[0].replace_input_with(1, ir.Value(name="ghost"))


def read_removed_node(model: ir.Model) -> None:
    model.graph.remove(model.graph[0])


def read_from_branch(model: ir.Model) -> None:
    model.graph[-1].replace_input_with(0, branch(model)[0].outputs[0])


def leave_input_empty(model: ir.Model) -> None:
    model.graph[0].replace_input_with(0, None)


def leave_reader(model: ir.Model) -> None:
    ir.Node("", "Neg", [model.graph[0].outputs[0]], name="orphan")


def lose_output(model: ir.Model) -> None:
    model.graph.outputs[0] = ir.Value(name="lost")


def list_input_twice(model: ir.Model) -> None:
    model.graph.inputs.append(model.graph.inputs[0])


def empty_initializer(model: ir.Model) -> None:
    model.graph.initializers["w"].const_value = None


def reshape_initializer(model: ir.Model) -> None:
    model.graph.initializers["w"].const_value = ir.tensor(np.zeros(3, np.float32))


def retype_initializer(model: ir.Model) -> None:
    model.graph.initializers["w"].const_value = ir.tensor(np.zeros(2, np.float64))


def initialize_function(model: ir.Model) -> None:
    (function,) = model.functions.values()
    function.graph.register_initializer(ir.Value(name="k", const_value=ir.tensor([1.0], name="k")))


def recurse(model: ir.Model) -> None:
    (function,) = model.functions.values()
    function[0].domain, function[0].op_type = "own", "double"
    function[0].resize_inputs(1)
    function.opset_imports["own"] = 1


def refer_to_nothing(model: ir.Model) -> None:
    model.graph[0].attributes["alpha"] = ir.RefAttr("alpha", "beta", ir.AttributeType.FLOAT)
    model.graph[0].op_type = "LeakyRelu"
    model.graph[0].resize_inputs(1)


def forget_import(model: ir.Model) -> None:
    model.opset_imports.pop("own")


def call_with_too_much(model: ir.Model) -> None:
    call = branch(model)[1]
    call.resize_inputs(3)


def call_with_too_little(model: ir.Model) -> None:
    branch(model)[1].replace_input_with(0, None)


LAWS: list[tuple[Callable[[ir.Model], None], str]] = [
    (rename, "'a' is defined twice in graph 'g'"),
    (rename_in_branch, "'w' is defined twice in subgraph 't' of If"),
    (no_name, "has no name"),
    (swap, "Relu .* reads 'b' before If .* produces it; sort"),
    (close_cycle, "cycle through nodes (Add|If|Relu).*, (Add|If|Relu).*, (Add|If|Relu)"),
    (dangle, "Add .* reads 'ghost', which nothing defines"),
    (read_removed_node, "reads 'a' of Add .*not visible there"),
    (read_from_branch, "reads 'q' of Relu .*not visible there"),
    (leave_input_empty, "Add .*leaves its input 0 empty"),
    (leave_reader, "'a' is read by node Neg 'orphan'"),
    (lose_output, "produces its output 'lost'"),
    (list_input_twice, "lists one value as two inputs"),
    (empty_initializer, "initializer 'w' .*has no data"),
    (reshape_initializer, r"'w' .*declared \[2\] and holds \[3\]"),
    (retype_initializer, "'w' .*declared FLOAT and holds DOUBLE"),
    (initialize_function, "function 'double' has initializers"),
    (recurse, "function 'double' calls itself"),
    (refer_to_nothing, "refers to 'beta'"),
    (forget_import, "domain 'own', which is not imported"),
    (call_with_too_much, "passes 3 inputs .*has 1 and 1"),
    (call_with_too_little, "leaves its input 0 empty, which node .* of function 'double' needs"),
]


def test_a_valid_model_passes() -> None:
    verify(parse_model(VALID), types=True)


@pytest.mark.parametrize(("damage", "sentence"), LAWS, ids=[damage.__name__ for damage, _ in LAWS])
def test_each_law(damage: Callable[[ir.Model], None], sentence: str) -> None:
    model = parse_model(VALID)
    damage(model)
    with pytest.raises(ModelError, match=sentence) as caught:
        verify(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("g (float[2,3] x) => (float[3,3] y) { y = Relu (x) }", r"'y' is declared \[3,3\] where .* finds \[2,3\]"),
        ("g (float[2,3] x) => (int64[2,3] y) { y = Relu (x) }", "INT64"),
        ("g (float[2,3] x, float[4] z) => (float[2,3] y) { y = Add (x, z) }", "Add .*cannot broadcast"),
        ("g (float[2,3] x) => (float[2,3] y) <float[5,3] a> { a = Relu (x) y = Relu (a) }", "'a' is declared"),
        ("g (float[2,3] x, int64[3] z) => (float[2,3] y) { y = MatMul (x, z) }", "type"),
        ("g (float[2,3] x) => (float[2,3] y) { y = LogSoftmax <axis = 2> (x) }", "LogSoftmax .*axis 2 where .* has 2"),
        ("g (float[2,3] x) => (float[2,3] y) { y = Softmax <axis = -3> (x) }", "axis -3"),
        (
            "g (float[2,3] x) => (y) <int64[1] a = {0}, int64[1] b = {1}, int64[1] i = {4}> { y = Slice (x, a, b, i) }",
            "Slice .*axis 4 where its input has 2",
        ),
    ],
)
def test_types_that_contradict_inference(text: str, sentence: str) -> None:
    model = parse_model(text)
    verify(model)
    before = [(value.type, value.shape) for node in model.graph for value in node.outputs]
    with pytest.raises(ModelError, match=sentence):
        verify(model, types=True)
    assert [(value.type, value.shape) for node in model.graph for value in node.outputs] == before


def test_branches_may_share_names_and_omitted_outputs_have_none() -> None:
    verify(parse_model("""
        g (float[2,2] x) => (float[2,2] y, int64[2] i)
        { k = Constant <value_ints = [2]> ()
          y, unused = TopK (x, k)
          "", i = Unique (x) }
    """.replace('"", i = Unique (x)', 'u, "", i = Unique (x)')))  # fmt: skip


def chain(length: int) -> ir.Model:
    x = current = ir.Value(name="x", shape=ir.Shape(["N", 64]), type=ir.TensorType(ir.DataType.FLOAT))
    body = []
    for index in range(length):
        node = ir.Node("", "Add", [current, x], name=f"n{index}")
        current = node.outputs[0]
        current.name = f"v{index}"
        body.append(node)
    return ir.Model(ir.Graph([x], [current], nodes=body, opset_imports={"": 17}, name="chain"), ir_version=9)


def test_three_times_the_nodes_are_three_times_the_work() -> None:
    """Counted in function calls, which no other load on the machine changes."""

    def calls(nodes: int) -> int:
        profile = cProfile.Profile()
        profile.runcall(verify, chain(nodes))
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # typeshed lacks it

    calls(100)  # what happens on first use only
    assert calls(3000) < 3.1 * calls(1000)


def test_a_long_cycle_is_found() -> None:
    model = chain(5_000)
    model.graph[0].replace_input_with(0, model.graph[-1].outputs[0])
    with pytest.raises(ModelError, match="cycle through nodes .* and 4994 more"):
        verify(model)
