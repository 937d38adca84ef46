"""If and Loop, whose bodies read what is around them, and operators that are there twice."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.properties.random_graphs.elementwise import activated, scaled
from tests.properties.random_graphs.graph import ELEMENTS, Graph, UnfitError, Value, info

Made = list[Value]

TRIPS = Value("trips", (), "int64", 3.0, exact=True)
FLAG = Value("flag", (), "bool", 1.0, exact=True)


def branch(graph: Graph) -> Made:
    """Choose between two bodies by an input, a constant, or a comparison of a dimension."""
    x = graph.value(lambda value: value.magnitude < 50, ["float32"])
    condition = graph.choose(FLAG, FLAG, None, "compare")
    if condition is None:
        condition = graph.constant(np.array(graph.choose(True, False)))
    if condition == "compare":
        if not x.shape:
            raise UnfitError
        shape = graph.op("Shape", x, shape=(len(x.shape),), dtype="int64", exact=True)
        size = graph.op("Gather", shape, graph.integer(0), shape=(), exact=True)
        condition = graph.op("Greater", size, graph.integer(1), dtype="bool", exact=True)
    bodies, magnitudes = zip(*(_body(graph, x) for _ in range(2)), strict=True)
    made = Value(graph.name(), x.shape, x.dtype, max(magnitudes))
    then_branch, else_branch = bodies
    graph.ops("If", [condition], [made], then_branch=then_branch, else_branch=else_branch)
    return [made]


def _body(graph: Graph, x: Value) -> tuple[onnx.GraphProto, float]:
    with graph.scope() as nodes:
        value = _steps(graph, x)
        return helper.make_graph(nodes, graph.name(), [], [info(value)]), value.magnitude


def _steps(graph: Graph, x: Value) -> Value:
    """Do a few things with a value that keep its shape."""
    value = graph.op("Identity", x)
    for _ in range(graph.choose(1, 2, 3)):
        value = graph.choose(activated, _shifted, _added)(graph, value)
    return value


def _shifted(graph: Graph, x: Value) -> Value:
    return graph.op("Add", graph.op("Mul", x, graph.weight(dtype=x.dtype), shape=x.shape), graph.weight(dtype=x.dtype))


def _added(graph: Graph, x: Value) -> Value:
    other = graph.value(lambda value: value.shape == x.shape and value.magnitude < 50, [x.dtype])
    return graph.op("Add", x, other, magnitude=x.magnitude + other.magnitude)


def loop(graph: Graph) -> Made:
    """Repeat a body some constant or unknown number of times; perhaps collect a value of each round."""
    x = graph.value(lambda value: value.magnitude < 20 and bool(value.shape) and len(value.shape) < 5, ["float32"])
    rounds = graph.choose(None, 2, None, 2, 1, 3, 0)
    trips = TRIPS if rounds is None else graph.constant(np.array(rounds, np.int64))
    always = graph.choose(Value(""), graph.constant(np.array(True)))
    carried = x._replace(name=graph.name(), exact=False, magnitude=x.magnitude + 5)
    index, going = graph.name(), graph.name()
    with graph.scope() as nodes:
        stepped = graph.op("Tanh", _shifted(graph, carried), magnitude=1.0)
        after = _added(graph, stepped) if graph.chance(2) else scaled_like(graph, stepped)
        still = graph.op("Identity", Value(going, (), "bool"), shape=())
        inputs = [
            helper.make_tensor_value_info(index, TensorProto.INT64, []),
            helper.make_tensor_value_info(going, TensorProto.BOOL, []),
            helper.make_tensor_value_info(carried.name, ELEMENTS[x.dtype], [None] * len(x.shape)),
        ]
        scanned = [stepped] if rounds and graph.chance(2) else []
        body = helper.make_graph(nodes, graph.name(), inputs, [info(still), info(after), *map(info, scanned)])
    outputs = [Value(graph.name(), x.shape, x.dtype, x.magnitude + 60)]
    outputs += [Value(graph.name(), (rounds, *x.shape), x.dtype, 1.0) for _ in scanned]
    return list(graph.ops("Loop", [trips, always, x], outputs, body=body))


def scaled_like(graph: Graph, x: Value) -> Value:
    """Scale or shift a value without widening it."""
    made = scaled(graph, x)
    if made.shape != x.shape:
        raise UnfitError
    return made


def again(graph: Graph) -> Made:
    """Repeat an operator that is there already."""
    known = {value.name: value for value in graph.values}
    repeated = [node for node in graph.nodes if all(name in known for name in node.output)]
    if not repeated:
        raise UnfitError
    node = graph.choose(*reversed(repeated))
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    made = [known[name]._replace(name=graph.name()) for name in node.output]
    graph.exact.update(value.name for value in made if value.exact)
    copy.output[:] = [value.name for value in made]
    graph.nodes.append(copy)
    return made


CONTROL = (branch, branch, loop, again, again, again)
