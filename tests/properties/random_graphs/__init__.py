"""Random networks of the kind that passes rewrite: every way to be foldable, and the awkward ways not to be.

`random_graphs()` draws a model; hypothesis can shrink it, since every choice is one of its draws. Only the
content of weights comes from a seeded generator. `quick_random_graphs()` draws no more than a seed, which takes a
third of the time and makes graphs that have less in common, and shrinks nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

from tests.properties.random_graphs.control import CONTROL, FLAG, TRIPS
from tests.properties.random_graphs.elementwise import ELEMENTWISE
from tests.properties.random_graphs.graph import Graph, Shape, UnfitError, Value, info
from tests.properties.random_graphs.identities import IDENTITIES
from tests.properties.random_graphs.movement import MOVEMENT
from tests.properties.random_graphs.products import PRODUCTS
from tests.properties.random_graphs.spellings import SPELLINGS
from tests.properties.random_graphs.windows import WINDOWS

LEAST_NODES = 40
OPSETS = (17, 13, 11, 15, 18, 20, 21, 23)
IR_VERSION = 8
SIZES = ((2, 1, 3), (3, 2, 4, 6, 1), (5, 7, 4, 8, 6), (5, 4, 8, 7, 3))
"""Of the image: its batch, channels, height and width."""

SYMBOLS = {0: "N", 2: "H", 3: "W"}
FAMILIES = (
    *[WINDOWS] * 3,
    *[ELEMENTWISE] * 3,
    *[PRODUCTS] * 2,
    *[MOVEMENT] * 3,
    *[SPELLINGS] * 4,
    *[IDENTITIES] * 2,
    CONTROL,
)


@dataclass(frozen=True)
class RandomModel:
    """A model and the sizes to run it at.

    Attributes:
        proto: the model.
        shapes: by input name, those that the graph was built for, and others that its symbols allow; the model
            may turn out not to run at these.
        exact: the names of computed values that no rounding touches.

    """

    proto: onnx.ModelProto
    shapes: tuple[dict[str, Shape], ...]
    exact: frozenset[str] = frozenset()


@st.composite
def random_graphs(draw: st.DrawFn) -> RandomModel:
    """Draw a model of at least LEAST_NODES operators that its outputs need; constants and their disguises aside."""
    return random_model(lambda options: draw(_index(options)))


@st.composite
def quick_random_graphs(draw: st.DrawFn) -> RandomModel:
    """Draw the like of `random_graphs()` by a seed."""
    return random_model(draw(st.randoms(use_true_random=True)).randrange)


@functools.cache
def _index(options: int) -> st.SearchStrategy[int]:
    return st.integers(0, options - 1)


def random_model(pick: Callable[[int], int]) -> RandomModel:
    """Make a model; `pick` chooses a number below the one that it is given."""
    graph = Graph(pick, np.random.default_rng(pick(1000)), OPSETS[pick(len(OPSETS))])
    sizes = tuple(graph.choose(*options) for options in SIZES)
    symbols = graph.choose((), (0,), (0, 2, 3), (2, 3))
    inputs = _inputs(graph, sizes)
    graph.values.extend(inputs)
    while len(graph.nodes) < LEAST_NODES or _needed(graph, _outputs(graph, inputs)) < LEAST_NODES:
        _grow(graph)
    outputs = _outputs(graph, inputs)
    dropped = graph.choose(0, 0, 1, 2)
    if len(outputs) > dropped and _needed(graph, outputs[dropped:]) >= LEAST_NODES:
        outputs = outputs[dropped:]
    read = _reads(graph.nodes)
    others = (value for value in graph.values if value.name in read and value not in inputs)
    outputs += [value for value in others if graph.chance(16)]
    return _finished(graph, inputs, list(dict.fromkeys(outputs)), symbols)


def _grow(graph: Graph) -> None:
    family = graph.choose(*FAMILIES)
    try:
        graph.values.extend(graph.choose(*family)(graph))
    except UnfitError:
        return


def _inputs(graph: Graph, sizes: Shape) -> list[Value]:
    """Return an image, and inputs of other ranks and types, not all of which need be read."""
    batch, channels, _, width = sizes
    return [
        FLAG,
        TRIPS,
        Value("i", (batch, 3), "int64", 4.0, exact=True),
        Value("s", (batch, 5, channels), "float32", 4.0, exact=True),
        Value("m", (batch, width if graph.chance(2) else 7), "float32", 4.0, exact=True),
        Value("x", sizes, graph.choose(*["float32"] * 11, "float16"), 4.0, exact=True),
    ]


def _outputs(graph: Graph, inputs: Sequence[Value]) -> list[Value]:
    """Return the values that no node reads."""
    read = _reads(graph.nodes)
    return [value for value in dict.fromkeys(graph.values) if value.name not in read and value not in inputs]


def _reads(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Return the names that nodes and their subgraphs read."""
    read = {name for node in nodes for name in node.input}
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                read |= _reads(attribute.g.node) | {output.name for output in attribute.g.output}
    return read


def _needed(graph: Graph, outputs: Sequence[Value]) -> int:
    """Count the operators that the outputs depend on, constants and their disguises aside."""
    wanted = {value.name for value in outputs}
    count = 0
    for node in reversed(graph.nodes):
        if wanted.intersection(node.output):
            wanted |= _reads([node])
            count += node.op_type != "Constant" and node.output[0] not in graph.disguises
    return count


def _finished(graph: Graph, inputs: Sequence[Value], outputs: Sequence[Value], symbols: Sequence[int]) -> RandomModel:
    """Declare what goes in and out; what has a symbol gets another size to run at, too."""
    read = _reads(graph.nodes)
    inputs = [value for value in inputs if value.name in read]
    free = {value: [axis for axis in symbols if axis in ((0, 2, 3) if value.name == "x" else (0,))] for value in inputs}
    free = {value: [axis for axis in axes if axis < len(value.shape)] for value, axes in free.items()}
    declared = [
        info(value, [SYMBOLS[axis] if axis in free[value] else size for axis, size in enumerate(value.shape)])
        for value in inputs
    ]
    proto = helper.make_graph(graph.nodes, "random", declared, [info(value) for value in outputs], graph.initializers)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", graph.opset)], ir_version=IR_VERSION)
    built = {value.name: value.shape for value in inputs}
    larger = {
        value.name: tuple(size + (axis in free[value]) for axis, size in enumerate(value.shape)) for value in inputs
    }
    shapes = (built, larger) if larger != built else (built,)
    return RandomModel(model, shapes, frozenset(graph.exact | graph.disguises))
