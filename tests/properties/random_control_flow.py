"""Random Ifs and Loops, nested and capturing from around them, of which some are decided and some are not.

All values are float[2] and stay within [-1, 1] by Tanh, so that answers can be compared closely. The names of two
branches are partly the same, as ONNX allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
DEPTH = 2
SIZE = 2


@st.composite
def random_control_flow(draw: st.DrawFn) -> onnx.ModelProto:
    """Draw a model of inputs x (float[2]), b (bool) and n (int64); sometimes all of it is in a function."""
    in_function = draw(st.booleans())
    body = _Block(draw, DEPTH, ["x"], in_function=in_function)
    for _ in range(draw(st.integers(1, 3))):
        body.add_node()
    outputs = [body.own(name) for name in draw(st.lists(st.sampled_from(body.values), min_size=1, max_size=2))]
    outputs = list(dict.fromkeys(outputs))
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [SIZE]),
        helper.make_tensor_value_info("b", TensorProto.BOOL, []),
        helper.make_tensor_value_info("n", TensorProto.INT64, []),
    ]
    declared = [_declared(name) for name in outputs]
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    nodes, functions = body.nodes, []
    if in_function:
        names = [value.name for value in inputs]
        functions = [helper.make_function("local", "f", names, outputs, body.nodes, imports[:1])]
        nodes = [helper.make_node("f", names, outputs, domain="local")]
    graph = helper.make_graph(nodes, "random", inputs, declared, body.initializers)
    return helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=9)


def _declared(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIZE])


@dataclass
class _Block:
    """A graph under construction, which reads its own values and those around it."""

    draw: Callable[[st.SearchStrategy[Any]], Any]
    depth: int
    values: list[str]
    in_function: bool = False
    names: Any = field(default_factory=count)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    given: set[str] = field(default_factory=set)

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def name(self) -> str:
        return f"v{next(self.names)}"

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        name = self.name()
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def constant(self, array: Any) -> str:
        name = self.name()
        tensor = numpy_helper.from_array(np.asarray(array), name)
        if self.in_function or self.choose(True, False):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers.append(tensor)
        return name

    def own(self, value: str) -> str:
        """Return a value as one of this graph, as its outputs must be, and one that is no output yet."""
        made = {name for node in self.nodes for name in node.output}
        if value in made - self.given and self.choose(True, False):
            self.given.add(value)
            return value
        return self.node("Identity", value)

    def add_node(self) -> None:
        kinds = [self._arithmetic, self._weight] + ([self._branch, self._loop] * 2 if self.depth else [])
        self.choose(*kinds)()

    def inside(self, names: Any) -> _Block:
        inner = replace(self, depth=self.depth - 1, values=list(self.values), in_function=False, names=names)
        inner.nodes, inner.initializers, inner.given = [], [], set()
        return inner

    def value(self) -> str:
        return str(self.choose(*self.values))

    def result(self) -> str:
        """Return an output of this graph: a value captured, computed or constant."""
        return self.own(self.value()) if self.choose(True, False) else self.node("Tanh", self.value())

    def computed_condition(self) -> str:
        total = self.node("ReduceSum", self.value(), keepdims=0)
        return self.node("Greater", total, self.constant(np.float32(0.1)))

    def _arithmetic(self) -> None:
        op_type = self.choose("Add", "Mul", "Sub")
        self.values.append(self.node("Tanh", self.node(op_type, self.value(), self.value())))

    def _weight(self) -> None:
        self.values.append(self.constant(np.array([0.25, self.choose(-0.5, 0.5)], np.float32)))

    def _branch(self) -> None:
        condition = self.choose("b", True, False, None)
        if condition is None:
            condition = self.computed_condition()
        elif not isinstance(condition, str):
            condition = self.constant(np.bool_(condition))
        outputs = self.choose(1, 2, 3)
        start = next(self.names)
        branches, ends = [], []
        for _ in range(2):
            block = self.inside(count(start))
            for _ in range(self.choose(0, 1, 2)):
                block.add_node()
            results = [block.result() for _ in range(outputs)]
            branches.append(
                helper.make_graph(block.nodes, "branch", [], [_declared(name) for name in results], block.initializers)
            )
            ends.append(next(block.names))
        self.names = count(max(ends))
        made = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node("If", [condition], made, then_branch=branches[0], else_branch=branches[1]))
        self.values += made

    def _loop(self) -> None:
        trip, first, goes_on = (
            self.choose("n", 0, 1, 2, 3),
            self.choose(True, False, "b", None, ""),
            self.choose(True, False, None, "same"),
        )
        if goes_on is False and first is True and self.choose(True, False):
            trip = ""
        inputs = [
            trip if isinstance(trip, str) else self.constant(np.int64(trip)),
            self.computed_condition() if first is None else self._condition(first),
            *(self.value() for _ in range(self.choose(0, 1, 2))),
        ]
        body, scans = self._body(goes_on, len(inputs) - 2)
        made = [self.name() for _ in body.output[1:]]
        self.nodes.append(helper.make_node("Loop", inputs, made, body=body))
        rows = made[len(made) - scans :]
        self.values += made[: len(made) - scans]
        for row in rows:
            if self.choose(True, False):
                total = self.node("ReduceSum", row, self.constant(np.array([0], np.int64)), keepdims=0)
                self.values.append(self.node("Tanh", total))

    def _condition(self, first: bool | str) -> str:
        return first if isinstance(first, str) else self.constant(np.bool_(first))

    def _body(self, goes_on: bool | str | None, carried: int) -> tuple[onnx.GraphProto, int]:
        block = self.inside(self.names)
        number, condition = self.name(), self.name()
        states = [self.name() for _ in range(carried)]
        block.values += states
        if self.choose(True, False):
            turn = block.node("Cast", number, to=TensorProto.FLOAT)
            block.values.append(block.node("Tanh", block.node("Add", block.value(), turn)))
        for _ in range(self.choose(0, 1, 2)):
            block.add_node()
        if goes_on is None:
            answer = block.computed_condition()
        else:
            answer = block.own(condition if goes_on == "same" else block.constant(np.bool_(goes_on)))
        results = [block.own(state) if self.choose(True, False, False) else block.result() for state in states]
        scans = self.choose(0, 1) if carried else 1
        results += [block.result() for _ in range(scans)]
        self.names = block.names
        inputs = [
            helper.make_tensor_value_info(number, TensorProto.INT64, []),
            helper.make_tensor_value_info(condition, TensorProto.BOOL, []),
            *map(_declared, states),
        ]
        outputs = [helper.make_tensor_value_info(answer, TensorProto.BOOL, []), *map(_declared, results)]
        return helper.make_graph(block.nodes, "body", inputs, outputs, block.initializers), scans
