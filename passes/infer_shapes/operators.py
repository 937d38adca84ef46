"""How each operator of shape arithmetic acts on elements: a table of rules."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from passes.infer_shapes import elements as el
from passes.infer_shapes.elements import Element, Elements, array_of, elementwise

LARGEST = 1024  # elements; a larger tensor is data, not a shape


class BeyondRuleError(Exception):
    """An operand that a rule must know is not known."""


@dataclass(frozen=True)
class Operands:
    """A node, and what is known of its inputs."""

    node: ir.Node
    inputs: Sequence[Elements | None]

    def __getitem__(self, index: int) -> Elements:
        """Return the elements of an input; raises BeyondRuleError if it is absent or of unknown length."""
        elements = self.inputs[index] if index < len(self.inputs) else None
        if elements is None:
            raise BeyondRuleError
        return elements

    def has(self, index: int) -> bool:
        """Whether the node has this input."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def ints(self, index: int) -> list[int]:
        """Return an input as a flat list of numbers; raises BeyondRuleError if one is unknown."""
        elements = self[index]
        if not el.is_known(elements):
            raise BeyondRuleError
        return [int(element) for element in elements.flat]

    def setting(self, name: str, index: int) -> list[int] | None:
        """Return what an operator takes as attribute `name` in old opsets and as an input in new ones."""
        if name in self.node.attributes:
            return list(self.node.attributes[name].as_ints())
        return self.ints(index) if self.has(index) else None


Rule = Callable[[Operands], Sequence[Elements]]


def _shape(op: Operands) -> Sequence[Elements]:
    end = op.node.attributes.get("end")
    start = op.node.attributes.get_int("start", 0)
    return [array_of(_dims(op)[start : None if end is None else end.as_int()])]


def _size(op: Operands) -> Sequence[Elements]:
    one: Element = 1
    return [array_of([functools.reduce(el.multiply, _dims(op), one)]).reshape(())]


def _dims(op: Operands) -> tuple[Element, ...]:
    data = op.node.inputs[0]
    if data is None or data.shape is None:
        raise BeyondRuleError
    return tuple(data.shape)


def _cast(op: Operands) -> Sequence[Elements]:
    to_bool = op.node.outputs[0].dtype is ir.DataType.BOOL
    return [elementwise(el.truth if to_bool else el.number)(op[0])]


def _gather(op: Operands) -> Sequence[Elements]:
    indices = np.array(op.ints(1), dtype=np.int64).reshape(op[1].shape)
    return [np.asarray(np.take(op[0], indices, axis=op.node.attributes.get_int("axis", 0)), dtype=object)]


def _slice(op: Operands) -> Sequence[Elements]:
    starts, ends = op.setting("starts", 1) or [], op.setting("ends", 2) or []
    axes = op.setting("axes", 3) or list(range(len(starts)))
    steps = op.setting("steps", 4) or [1] * len(starts)
    index = [slice(None)] * op[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return [op[0][tuple(index)]]


def _concat(op: Operands) -> Sequence[Elements]:
    parts = [op[index] for index in range(len(op.inputs))]
    return [np.concatenate(parts, axis=op.node.attributes.get_int("axis", 0))]


def _squeeze(op: Operands) -> Sequence[Elements]:
    axes = op.setting("axes", 1)
    return [np.squeeze(op[0], axis=None if axes is None else tuple(axes))]


def _unsqueeze(op: Operands) -> Sequence[Elements]:
    return [np.expand_dims(op[0], tuple(op.setting("axes", 1) or ()))]


def _reshape(op: Operands) -> Sequence[Elements]:
    target = op.ints(1)
    if not op.node.attributes.get_int("allowzero", 0):
        target = [dim or op[0].shape[axis] for axis, dim in enumerate(target)]
    return [op[0].reshape(target)]


def _expand(op: Operands) -> Sequence[Elements]:
    shape = np.broadcast_shapes(op[0].shape, _small(op.ints(1)))
    return [np.broadcast_to(op[0], shape)]


def _constant_of_shape(op: Operands) -> Sequence[Elements]:
    if "value" not in op.node.attributes:
        raise BeyondRuleError  # the default is a float
    value = op.node.attributes["value"].as_tensor().numpy().item()
    return [np.full(_small(op.ints(0)), value, dtype=object)]


def _range(op: Operands) -> Sequence[Elements]:
    (start,), (limit,), (delta,) = op.ints(0), op.ints(1), op.ints(2)
    numbers = range(start, limit, delta)
    _small([len(numbers)])
    return [array_of(numbers)]


def _split(op: Operands) -> Sequence[Elements]:
    axis, count = op.node.attributes.get_int("axis", 0), len(op.node.outputs)
    length = op[0].shape[axis]
    part = math.ceil(length / count)  # Split-18: the last part is smaller
    sizes = op.setting("split", 1) or [*[part] * (count - 1), length - part * (count - 1)]
    if sum(sizes) != length or len(sizes) != count:
        raise BeyondRuleError
    return np.split(op[0], np.cumsum(sizes)[:-1].tolist(), axis=axis)


def _where(op: Operands) -> Sequence[Elements]:
    return [elementwise(el.select)(op[0], op[1], op[2])]


def _unary(function: Callable[[Element], Element]) -> Rule:
    return lambda op: [elementwise(function)(op[0])]


def _variadic(function: Callable[[Element, Element], Element]) -> Rule:
    return lambda op: [functools.reduce(elementwise(function), (op[index] for index in range(len(op.inputs))))]


def _mod(op: Operands) -> Sequence[Elements]:
    if op.node.attributes.get_int("fmod", 0):
        raise BeyondRuleError  # the remainder then has the sign of the dividend
    return _variadic(el.modulo)(op)


def _reduce(function: Callable[[Element, Element], Element]) -> Rule:
    """Reduce a vector whole, the one case that shape arithmetic needs."""

    def rule(op: Operands) -> Sequence[Elements]:
        axes = op.setting("axes", 1)
        if op[0].ndim != 1 or not op[0].size or axes not in ([0], [-1], None):
            raise BeyondRuleError
        if axes is None and op.node.attributes.get_int("noop_with_empty_axes", 0) != 0:
            raise BeyondRuleError
        reduced = array_of([functools.reduce(function, op[0])])
        return [reduced if op.node.attributes.get_int("keepdims", 1) == 1 else reduced.reshape(())]

    return rule


def _small(shape: list[int]) -> list[int]:
    if math.prod(shape) > LARGEST:
        raise BeyondRuleError
    return shape


RULES: dict[str, Rule] = {
    "Shape": _shape,
    "Size": _size,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Identity": lambda op: [op[0]],
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Expand": _expand,
    "Add": _variadic(el.add),
    "Sub": _variadic(el.subtract),
    "Mul": _variadic(el.multiply),
    "Div": _variadic(el.divide),
    "Mod": _mod,
    "Sum": _variadic(el.add),
    "Min": _variadic(el.minimum),
    "Max": _variadic(el.maximum),
    "Neg": _unary(el.negate),
    "Equal": _variadic(el.equal),
    "Not": _unary(el.invert),
    "Where": _where,
    "ReduceSum": _reduce(el.add),
    "ReduceProd": _reduce(el.multiply),
    "ReduceMin": _reduce(el.minimum),
    "ReduceMax": _reduce(el.maximum),
}
