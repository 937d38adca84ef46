"""Channels that move between convolutions: what needs no code, what does, and the answers of both."""

from __future__ import annotations

import re

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import graphopt
from graphopt.backends.tvm.build import build
from graphopt.backends.tvm.executor import TvmExecutor
from graphopt.backends.tvm.lower.channels import ChannelPlan, plan_channels
from graphopt.backends.tvm.lower.layout import PADDING, Layout
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.ir.text.parser import parse_model
from graphopt.targets import parse_target

TARGET = parse_target("cpu{cores=1}")
LANES = TARGET.lanes()
SHUFFLE = ", ".join(str(channel) for pair in zip(range(10), range(10, 20), strict=True) for channel in pair)
SHUFFLENET = f"""
g (float[N,3,6,5] x) => (float[N,7,6,5] y)
<float[10,3,1,1] w0, float[10,10,1,1] w1, float[10] b1, float[10,10,3,3] w2, float[20,1,3,3] w3, float[7,20,1,1] w4,
 int64[20] order = {{{SHUFFLE}}}>
{{ a = Conv (x, w0)  b = Conv (a, w1, b1)  c = Relu (b)
   d = Concat <axis = 1> (a, c)  e = Gather <axis = 1> (d, order)  f, g = Split <axis = 1> (e)
   h = Conv <pads = [1,1,1,1]> (g, w2, b1)  i = Clip (h)
   j = Concat <axis = 1> (f, i)  k = Gather <axis = 1> (j, order)
   l = Conv <group = 20, pads = [1,1,1,1]> (k, w3)  m = LeakyRelu (l)  y = Conv (m, w4) }}
"""
TAIL = "<float[8,8,1,1] w, float[9,16,1,1] v, float[16,1,1,1] u, float[8,1,1] k>"


def planned(text: str, lanes: int = LANES) -> tuple[ir.Graph, ChannelPlan]:
    graph = graphopt.optimize(parse_model(text), "infer-shapes").model.graph
    return graph, plan_channels(list(graph), graph.outputs, lanes)


def check_answers(text: str, *, batch: int = 1) -> None:
    model = graphopt.optimize(parse_model(re.sub(r"\bN\b", str(batch), text)), "infer-shapes, remove-dead-nodes").model
    graph = model.graph
    inputs, outputs = graph.inputs, graph.outputs
    program = build(schedule(lower(list(graph), inputs, outputs, TARGET), TARGET), TARGET)
    shapes = [tuple(value.shape.numpy()) for value in inputs if value.shape is not None]
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    reference = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options())
    expected = reference.run(None, {value.name: array for value, array in zip(inputs, arrays, strict=True)})
    for found, wanted in zip(TvmExecutor(program, 1).run(arrays), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5 * np.abs(wanted).max())


def options() -> ort.SessionOptions:
    made = ort.SessionOptions()
    made.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return made


@pytest.mark.parametrize("batch", [1, 2])
def test_shuffles_need_no_code(batch: int) -> None:
    _, plan = planned(SHUFFLENET.replace("N", str(batch)), lanes=8)
    assert {node.op_type for node in plan.moves} == {"Concat", "Gather", "Split"}
    assert len(list(plan.moves)) == 5
    assert {value.name for value in plan.assemblies} == {"g", "k"}
    assert all(value.name in {"a", "b", "c"} for value in plan.slots)
    check_answers(SHUFFLENET, batch=batch)


def test_channels_of_the_same_readers_stand_together() -> None:
    _, plan = planned(SHUFFLENET.replace("N", "1"), lanes=8)
    (slots,) = {slots for value, slots in plan.slots.items() if value.name in {"b", "c"}}
    read_first = {channel for channel in slots[: slots.index(PADDING)] if channel != PADDING}
    assert read_first in ({0, 1, 2, 3, 4}, {5, 6, 7, 8, 9})
    assert sorted(set(slots) - {PADDING}) == list(range(10))
    assert len(slots) % 8 == 0


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("y = Concat <axis = 1> (a, b)", id="a result of the whole"),
        pytest.param("c = Concat <axis = 1> (a, b)  y = Neg (c)", id="a reader that is no convolution"),
        pytest.param("c = Concat <axis = 1> (a, a)  y = Conv (c, v)", id="a channel that is there twice"),
        pytest.param("c = Concat <axis = 2> (a, b)  y = Conv (c, w)", id="another axis"),
        pytest.param("c = Concat <axis = 1> (a, b)  y = Conv <group = 2> (c, w)", id="a convolution in groups"),
        pytest.param("c = Concat <axis = 1> (a, b)  d = Conv <group = 16> (c, u)  y = Exp (d)", id="a depthwise tail"),
        pytest.param("c = Concat <axis = 1> (a, b)  d = Slice (c, x, x)  y = Conv (d, w)", id="an unknown slice"),
        pytest.param("c = Gather <axis = 1> (a, i)  y = Conv (c, w)", id="indices known to a run alone"),
        pytest.param("c = Conv (a, w)  y = Add (c, k)", id="nothing that moves"),
    ],
)
def test_what_needs_code(body: str) -> None:
    inputs = "float[1,8,4,4] a, float[1,8,4,4] b, int64[1] x, int64[8] i"
    model = parse_model(f"g ({inputs}) => (float[I,J,K,L] y) {TAIL} {{ {body} }}")
    graph = graphopt.optimize(model, "infer-shapes").model.graph
    plan = plan_channels(list(graph), graph.outputs, LANES)
    assert not plan.moves
    assert not plan.assemblies
    assert not plan.slots


def test_few_channels_of_many_blocks_are_copied_together() -> None:
    """A convolution with many outputs would multiply the rest of the blocks by zeros."""
    spread = range(0, 512, LANES)
    text = f"""
    g (float[1,512,4,4] x) => (float[1,4096,4,4] y)
    <float[4096,{len(spread)},1,1] w, int64[{len(spread)}] i = {{{", ".join(map(str, spread))}}}>
    {{ c = Gather <axis = 1> (x, i)  y = Conv (c, w) }}
    """
    _, plan = planned(text)
    assert not plan.moves


@pytest.mark.parametrize("slots", [(), (3, 0, PADDING, 2, 1, PADDING, PADDING, PADDING)])
def test_a_layout_arranges_channels(slots: tuple[int, ...]) -> None:
    layout = Layout(4, slots)
    array = np.arange(1, 9, dtype=np.float32).reshape(2, 4)
    arranged = layout.arrange(array, 1, fill=-1)
    assert arranged.shape == (2, max(len(slots), 4))
    np.testing.assert_array_equal(arranged[:, layout.places(4)], array)
    assert (arranged == -1).sum() == 2 * (arranged.shape[1] - 4)


@settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate])  # shrinking takes minutes
@given(st.data())
def test_moved_channels_keep_the_answer(data: st.DataObject) -> None:
    check_answers(drawn(data), batch=data.draw(st.sampled_from([1, 2])))


def drawn(data: st.DataObject) -> str:
    """Return a random network of convolutions, elementwise operators, and moves of channels between them."""
    sizes = {"x": data.draw(st.integers(1, 2 * LANES + 1))}
    constants, lines = [], []
    header = f"float[N,{sizes['x']},4,3] x"
    for step in range(data.draw(st.integers(4, 9))):
        source = data.draw(st.sampled_from(list(sizes)[-3:]))
        channels, name = sizes[source], f"v{step}"
        match data.draw(st.sampled_from(["conv", "depthwise", "concat", "gather", "slice", "split", "relu", "add"])):
            case "conv":
                made = data.draw(st.integers(1, 2 * LANES + 1))
                constants += [f"float[{made},{channels},1,1] w{step}", f"float[{made}] b{step}"]
                lines.append(f"{name} = Conv ({source}, w{step}, b{step})")
                sizes[name] = made
            case "depthwise":
                constants.append(f"float[{channels},1,3,3] w{step}")
                lines.append(f"{name} = Conv <group = {channels}, pads = [1,1,1,1]> ({source}, w{step})")
                sizes[name] = channels
            case "concat":
                other = data.draw(st.sampled_from(list(sizes)))
                lines.append(f"{name} = Concat <axis = 1> ({source}, {other})")
                sizes[name] = channels + sizes[other]
            case "gather":
                order = data.draw(st.permutations(range(-channels, 0)))[: data.draw(st.integers(1, channels))]
                constants.append(f"int64[{len(order)}] i{step} = {{{', '.join(map(str, order))}}}")
                lines.append(f"{name} = Gather <axis = 1> ({source}, i{step})")
                sizes[name] = len(order)
            case "slice":
                start, stride = data.draw(st.integers(0, channels - 1)), data.draw(st.integers(1, 3))
                bounds = {"s": start, "e": channels, "a": 1, "t": stride}
                constants += [f"int64[1] {key}{step} = {{{number}}}" for key, number in bounds.items()]
                lines.append(f"{name} = Slice ({source}, {', '.join(f'{key}{step}' for key in bounds)})")
                sizes[name] = len(range(start, channels, stride))
            case "split" if channels > 1:
                at = data.draw(st.integers(1, channels - 1))
                constants.append(f"int64[2] p{step} = {{{at}, {channels - at}}}")
                lines.append(f"{name}, {name}b = Split <axis = 1> ({source}, p{step})")
                sizes |= {name: at, f"{name}b": channels - at}
            case "add":
                constants.append(f"float[{channels},1,1] w{step}")
                lines.append(f"{name} = Add ({source}, w{step})")
                sizes[name] = channels
            case _:
                lines.append(f"{name} = Relu ({source})")
                sizes[name] = channels
    last = list(sizes)[-1]
    constants.append(f"float[5,{sizes[last]},1,1] w")
    lines.append(f"y = Conv ({last}, w)")
    return f"g ({header}) => (float[N,5,4,3] y) <{', '.join(constants)}> {{ {'  '.join(lines)} }}"
