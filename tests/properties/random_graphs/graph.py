"""A random graph under construction: its values, its constants in their disguises, its scopes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
FLOATS = ("float32", "float16", "float64")
ELEMENTS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
}
LARGEST = {"float16": 200.0, "int32": 1e6, "int64": 1e6}
"""How large the numbers of a type may become, so that none overflows; 1,000 for the other types."""

LARGEST_TENSOR = 4000
OPTIONAL_RESIZE = 13


class Value(NamedTuple):
    """A tensor of the graph.

    Attributes:
        name: its name; empty for an input that is left out.
        shape: the one that it has at the sizes for which the graph is built.
        dtype: in numpy.
        magnitude: about how large its numbers are.
        exact: whether it has no rounding errors, so that it may be compared, rounded or searched.

    """

    name: str
    shape: Shape = ()
    dtype: str = "float32"
    magnitude: float = 1.0
    exact: bool = False


ABSENT = Value("")


class UnfitError(Exception):
    """The drawn operator takes none of the values there are."""


@dataclass
class Graph:
    """A graph under construction.

    Attributes:
        pick: chooses a number below the one that it is given.
        rng: of the content of weights.
        opset: of the model; each operator is written as it demands.
        values: what the next operator may read.
        nodes, initializers: of the scope under construction, and of the model.
        disguises: the names of constants that are computed.
        exact: the names of values without rounding errors.

    """

    pick: Callable[[int], int]
    rng: np.random.Generator
    opset: int
    values: list[Value] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    disguises: set[str] = field(default_factory=set)
    exact: set[str] = field(default_factory=set)
    _shared: dict[tuple[str, Shape], list[Value]] = field(default_factory=dict)
    _names: int = 0
    _depth: int = 0

    def choose(self, *options: Any) -> Any:
        """Choose one of several; hypothesis shrinks towards the first."""
        return options[self.pick(len(options))]

    def chance(self, one_in: int) -> bool:
        """Say yes once in so many times."""
        return self.pick(one_in) == one_in - 1

    def permutation(self, items: Sequence[int]) -> list[int]:
        """Return the items in any order."""
        left = list(items)
        return [left.pop(self.pick(len(left))) for _ in range(len(left))]

    def value(self, fits: Callable[[Value], bool] = lambda _: True, dtypes: Sequence[str] = FLOATS) -> Value:
        """Choose among the values that fit, the newest half of the time: patterns are chains."""
        fitting = [value for value in reversed(self.values) if value.dtype in dtypes and fits(value)]
        if not fitting:
            raise UnfitError
        return fitting[0] if self.chance(2) else fitting[self.pick(len(fitting))]

    def image(self, *, side: int = 1) -> Value:
        """Choose a [batch, channels, height, width] of float32 with sides of at least so many, none empty."""
        return self.value(lambda value: len(value.shape) == 4 and min(value.shape) > 0 and min(value.shape[2:]) >= side)

    def name(self) -> str:
        """Return a new name."""
        self._names += 1
        return f"v{self._names}"

    def op(
        self,
        op_type: str,
        *inputs: Value,
        shape: Shape | None = None,
        dtype: str | None = None,
        magnitude: float | None = None,
        exact: bool = False,
        **attributes: Any,
    ) -> Value:
        """Add a node with one output; by default the broadcast shape, type and magnitude of its inputs."""
        made = shape if shape is not None else np.broadcast_shapes(*(value.shape for value in inputs))
        given = max((value.magnitude for value in inputs), default=1.0) if magnitude is None else magnitude
        outputs = [Value(self.name(), made, dtype or inputs[0].dtype, given, exact)]
        return self.ops(op_type, inputs, outputs, **attributes)[0]

    def ops(
        self, op_type: str, inputs: Sequence[Value], outputs: Sequence[Value], **attributes: Any
    ) -> Sequence[Value]:
        """Add a node with any number of outputs; now and then what should stay inside is read by others too."""
        for value in outputs:
            if value.magnitude > LARGEST.get(value.dtype, 1e3) or math.prod(value.shape) > LARGEST_TENSOR:
                raise UnfitError
        self.exact.update(value.name for value in outputs if value.exact)
        names = [value.name for value in inputs]
        self.nodes.append(helper.make_node(op_type, names, [value.name for value in outputs], **attributes))
        if self.chance(12):
            self.values.extend(outputs)
        return outputs

    def over_axes(self, op_type: str, x: Value, axes: Sequence[int], since: int, **kwargs: Any) -> Value:
        """Add a node whose axes are an input since some opset, and were an attribute before."""
        if self.opset >= since:
            return self.op(op_type, x, self.integers(*axes), **kwargs)
        return self.op(op_type, x, axes=list(axes), **kwargs)

    def weight(self, *shape: int, dtype: str = "float32", positive: bool = False, scale: float = 0.5) -> Value:
        """Return a constant of random numbers, sometimes one that others read too."""
        shared = self._shared.setdefault((dtype, shape), [])
        if shared and not positive and self.chance(3):
            return shared[self.pick(len(shared))]
        drawn = self.rng.uniform(0.5, 1.5, shape) if positive else self.rng.normal(0, scale, shape)
        value = self.constant(drawn.astype(dtype))
        if not positive and self._depth == 0:
            shared.append(value)
        return value

    def number(self, like: Value, number: float) -> Value:
        """Return a constant of one number, of rank 0 or 1, in the type of a value."""
        shape = self.choose((), (1,)) if like.shape else ()
        return self.constant(np.full(shape, number, like.dtype))

    def constant(self, array: npt.NDArray[np.generic]) -> Value:
        """Return a constant in one of its disguises."""
        value = Value(self.name(), array.shape, array.dtype.name, float(np.abs(array).max(initial=0)), exact=True)
        disguise = self.choose("initializer", "initializer", "node", "identity", "sum")
        in_node = disguise == "node" or (self._depth > 0 and self.chance(2))
        if disguise == "sum" and array.dtype.kind != "f":
            disguise = "identity"
        held = array / 2 if disguise == "sum" and not in_node else array
        tensor = numpy_helper.from_array(np.asarray(held, array.dtype), value.name)
        if in_node:
            self.nodes.append(helper.make_node("Constant", [], [value.name], value=tensor))
            return value
        self.initializers.append(tensor)
        if disguise == "initializer":
            return value
        disguised = value._replace(name=self.name())
        operator, inputs = ("Identity", [value.name]) if disguise == "identity" else ("Add", [value.name, value.name])
        self.nodes.append(helper.make_node(operator, inputs, [disguised.name]))
        self.disguises.add(disguised.name)
        return disguised

    def integers(self, *numbers: int) -> Value:
        """Return a constant vector of integers, as shapes, axes and pads are."""
        return self._plain(np.array(numbers, np.int64))

    def integer(self, number: int) -> Value:
        """Return a constant integer of rank 0."""
        return self._plain(np.array(number, np.int64))

    def empty(self) -> Value:
        """Return what stands for an input of Resize that is not given."""
        return ABSENT if self.opset >= OPTIONAL_RESIZE else self._plain(np.zeros(0, np.float32))

    def _plain(self, array: npt.NDArray[np.generic]) -> Value:
        value = Value(self.name(), array.shape, array.dtype.name, exact=True)
        self.initializers.append(numpy_helper.from_array(array, value.name))
        return value

    @contextmanager
    def scope(self) -> Iterator[list[onnx.NodeProto]]:
        """Collect the nodes of a subgraph: it sees the values around it, and they not what it makes."""
        outer_nodes, outer_values = self.nodes, self.values
        self.nodes, self.values, self._depth = [], list(outer_values), self._depth + 1
        try:
            yield self.nodes
        finally:
            self.nodes, self.values, self._depth = outer_nodes, outer_values, self._depth - 1


def info(value: Value, shape: Sequence[int | str | None] | None = None) -> onnx.ValueInfoProto:
    """Declare a value as an input or an output; without a shape, of unknown sizes."""
    return helper.make_tensor_value_info(
        value.name, ELEMENTS[value.dtype], [None] * len(value.shape) if shape is None else shape
    )


def replaced(shape: Shape, axis: int, *sizes: int) -> Shape:
    """Return a shape with other sizes, or none, in the place of an axis."""
    return (*shape[:axis], *sizes, *shape[axis + 1 :])
