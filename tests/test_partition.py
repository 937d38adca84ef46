from __future__ import annotations

import networkx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.partition import Executor, Partition, partition


def chain_of(edges: list[tuple[int, ...]], refused: set[int]) -> Partition:
    """Build a graph in which node i adds up the nodes before it that `edges[i]` names, and cut it."""
    kind = ir.TensorType(ir.DataType.FLOAT)
    source = ir.Value(name="x", type=kind, shape=ir.Shape([1]))
    nodes: list[ir.Node] = []
    for index, before in enumerate(edges):
        inputs = [nodes[other].outputs[0] for other in before] or [source]
        node = ir.Node("", "Sum", inputs, num_outputs=1, name=str(index))
        node.outputs[0].name = f"v{index}"
        nodes.append(node)
    graph = ir.Graph([source], [nodes[-1].outputs[0]], nodes=nodes, opset_imports={"": 17})
    return partition(graph, lambda node: "refused" if int(node.name or "") in refused else None)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], set[int]]:
    size = draw(st.integers(1, 14))
    edges = [tuple(draw(st.sets(st.integers(0, index - 1), max_size=3))) if index else () for index in range(size)]
    return edges, draw(st.sets(st.integers(0, size - 1)))


@settings(deadline=None)
@given(cuts())
def test_regions_are_convex_complete_and_in_order(case: tuple[list[tuple[int, ...]], set[int]]) -> None:
    edges, refused = case
    cut = chain_of(edges, refused)
    place = {int(node.name or ""): index for index, region in enumerate(cut.regions) for node in region.nodes}
    assert sorted(place) == list(range(len(edges)))
    for region in cut.regions:
        for node in region.nodes:
            assert (region.executor is Executor.ONNXRUNTIME) == (int(node.name or "") in refused)
    flow = networkx.DiGraph((place[other], place[index]) for index, before in enumerate(edges) for other in before)
    assert all(before <= after for before, after in flow.edges), "a region never needs a later one"
    available = {"x"}
    for region in cut.regions:
        assert {value.name for value in region.inputs} <= available
        available |= {str(value.name) for value in region.outputs}
    assert f"v{len(edges) - 1}" in available


def test_one_executor_makes_one_region() -> None:
    cut = chain_of([(), (0,), (0, 1), (2,)], set())
    assert [len(region.nodes) for region in cut.regions] == [4]
    assert cut.reasons == {}


def test_a_refused_node_in_the_middle_makes_three() -> None:
    cut = chain_of([(), (0,), (1,)], {1})
    assert [region.executor for region in cut.regions] == [Executor.TVM, Executor.ONNXRUNTIME, Executor.TVM]
    assert list(cut.reasons.values()) == ["refused"]


def test_a_refused_side_branch_does_not_cut_the_main_path_twice() -> None:
    cut = chain_of([(), (0,), (0,), (1,), (2, 3)], {2})
    assert [region.executor for region in cut.regions] == [Executor.TVM, Executor.ONNXRUNTIME, Executor.TVM]
    assert [len(region.nodes) for region in cut.regions] == [3, 1, 1]


@pytest.mark.parametrize("branch", ["then_branch", "else_branch"])
def test_values_captured_by_a_subgraph_are_inputs_of_its_region(branch: str) -> None:
    from graphopt.ir.walk import reads
    from tests.networks import network

    model = network(
        """
        g (bool[1] p, float[2] x) => (float[2] y)
        {
            h = Neg (x)
            y = If (p) <then_branch = t () => (float[2] a) { a = Abs (h) },
                        else_branch = e () => (float[2] b) { b = Exp (h) }>
        }
        """
    )
    conditional = model.graph[-1]
    assert "h" in {value.name for value in reads(conditional)}
    cut = partition(model.graph, lambda node: "control flow" if node.op_type == "If" else None)
    assert {value.name for value in cut.regions[-1].inputs} == {"p", "h"}
    assert {value.name for value in cut.regions[0].outputs} == {"h"}


def test_what_reads_constants_alone_goes_with_its_reader() -> None:
    constant = ir.Value(name="w", const_value=ir.tensor([1.0], name="w"))
    source = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1]))
    weights, refused = (ir.Node("", "Neg", [value], name=name) for value, name in ((constant, "w"), (source, "r")))
    product = ir.Node("", "Mul", [refused.outputs[0], weights.outputs[0]], name="m")
    nodes = [weights, refused, product]
    graph = ir.Graph([source], product.outputs, nodes=nodes, initializers=[constant], opset_imports={"": 17})
    cut = partition(graph, lambda node: "refused" if node is refused else None)
    assert [region.nodes for region in cut.regions] == [(refused,), (weights, product)]
