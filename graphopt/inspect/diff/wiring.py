"""What of two matched nodes differs: attributes, where inputs come from, the contents of constants."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.inspect.diff.interface import describe, describe_constant
from graphopt.inspect.diff.matching import Matching
from graphopt.inspect.diff.numbers import Contents
from graphopt.inspect.diff.origins import Origins, origin_of, origins
from graphopt.inspect.diff.record import ChangedAttribute, Rewired
from graphopt.inspect.diff.scope import is_commutative, reads
from graphopt.inspect.diff.weights import stored
from graphopt.ir.constants import constant_tensor
from graphopt.ir.text.literals import tensor_type
from graphopt.ir.walk import label

Past = Callable[[ir.Node], tuple[str, ...]]
_LONGEST = 60


class Reading(NamedTuple):
    """Who reads a constant, by name, and the rewrites in its past."""

    reader: str
    made_by: tuple[str, ...]


class Wiring:
    """Compares what matched nodes of two scopes read.

    Attributes:
        found: the matching of the two scopes.
        origins: of the values of unmatched nodes in both scopes, and of those around them.
        reweighted: the readers of each pair of constants that hold other contents in the same place.

    """

    def __init__(
        self,
        found: Matching,
        before: Contents,
        after: Contents,
        where: str,
        past: Past,
        outer: Wiring | None,
    ) -> None:
        self.found = found
        self._contents = before, after
        self._where = where
        self._past = past
        around: tuple[Origins, Origins] = (ChainMap(), ChainMap()) if outer is None else outer.origins
        self.origins: tuple[Origins, Origins] = (
            origins(found.open_before(), found.values, around[0]),
            origins(found.open_after(), None, around[1]),
        )
        self.reweighted: dict[tuple[ir.Value, ir.Value], list[Reading]] = {}

    def inputs(self, one: ir.Node, other: ir.Node) -> Iterator[Rewired]:
        """Yield the inputs that come from elsewhere; constants with other contents are kept for later."""
        for slot, left, right in self._aligned(one, other):
            if self._judge(left, right, Reading(label(one), self._past(other))):
                yield Rewired(
                    node=label(one),
                    after_node=label(other),
                    where=self._where,
                    input=slot,
                    before=None if left is None else source(left),
                    after=None if right is None else source(right),
                    made_by=self._past(other),
                )

    def output(self, one: ir.Value | None, other: ir.Value | None) -> Iterator[Rewired]:
        """Yield an output of the graph if it comes from elsewhere."""
        names = [f"output {value.name!r}" if value is not None else "output" for value in (one, other)]
        if self._judge(one, other, Reading(names[0], ())):
            texts = [None if value is None else source(value) for value in (one, other)]
            yield Rewired(names[0], names[1], self._where, None, texts[0], texts[1])

    def attributes(self, one: ir.Node, other: ir.Node) -> Iterator[ChangedAttribute]:
        """Yield the attributes that differ; subgraphs are compared elsewhere."""
        left, right = (contents.attributes(node) for contents, node in zip(self._contents, (one, other), strict=True))
        names = [name for name in sorted({*left, *right}) if left.get(name) != right.get(name)]
        texts = [(name, _text(one, name), _text(other, name)) for name in names]
        if len(one.outputs) != len(other.outputs):
            texts.append(("(outputs)", str(len(one.outputs)), str(len(other.outputs))))
        for name, before, after in texts:
            yield ChangedAttribute(label(one), label(other), self._where, name, before, after, self._past(other))

    def _judge(self, left: ir.Value | None, right: ir.Value | None, reader: Reading) -> bool:
        """Whether a reader is rewired; notes constants whose contents differ."""
        if self._same(left, right):
            return False
        if left is not None and right is not None and self._are_constants(left, right):
            self.reweighted.setdefault((left, right), []).append(reader)
            return False
        return not self._follows(left, right)

    def _are_constants(self, left: ir.Value, right: ir.Value) -> bool:
        """Whether both are constants, one of them quantized perhaps by nodes that the other model lacks."""
        before, after = self._contents
        known = before.constant(left) is not None, after.constant(right) is not None
        if not any(known):
            return False
        return all(known) or (stored(left) is not None and stored(right) is not None)

    def _same(self, left: ir.Value | None, right: ir.Value | None) -> bool:
        if left is None or right is None:
            return left is right
        found = self.found
        image = found.values.get(left)
        if image is right:
            return True
        before, after = found.before.prints.values, found.after.prints.values
        number = after.get(right, self._contents[1].constant(right))
        if number is None:
            return False
        if image is not None and after.get(image) == number:  # two nodes that compute the same
            return True
        return before.get(left, self._contents[0].constant(left)) == number

    def _follows(self, left: ir.Value | None, right: ir.Value | None) -> bool:
        """Whether the change is but that nodes were removed or added on the way from the same values."""
        before, after = self.origins
        if left is None or right is None or not (left in before or right in after):
            return False
        origin = origin_of(left, before, self.found.values)
        if origin != origin_of(right, after, None):
            return False
        return bool(origin is None or origin) or self._behind(left, 0) == self._behind(right, 1)

    def _behind(self, value: ir.Value, side: int) -> set[int]:
        """Return the numbers of the constants that a value is computed from."""
        numbers: set[int] = set()
        pending, seen = [value], {value}
        while pending:
            one = pending.pop()
            number, producer = self._contents[side].constant(one), one.producer()
            if number is not None:
                numbers.add(number)
            elif producer is not None:
                new = {given for _, given in reads(producer)} - seen
                seen |= new
                pending += new
        return numbers

    def _aligned(self, one: ir.Node, other: ir.Node) -> Iterator[tuple[int, ir.Value | None, ir.Value | None]]:
        """Pair the inputs of two nodes: by slot, or what is equal first where order is of no matter."""
        left, right = list(enumerate(one.inputs)), list(other.inputs)
        if is_commutative(one):
            rest = []
            for slot, value in left:
                twin = next((index for index, given in enumerate(right) if self._same(value, given)), None)
                if twin is None:
                    rest.append((slot, value))
                else:
                    del right[twin]
            left = sorted(rest, key=lambda item: self._is_constant(item[1], 0))
            right.sort(key=lambda value: self._is_constant(value, 1))
        for index in range(max(len(left), len(right))):
            slot, value = left[index] if index < len(left) else (index, None)
            yield slot, value, right[index] if index < len(right) else None

    def _is_constant(self, value: ir.Value | None, side: int) -> bool:
        return value is not None and self._contents[side].constant(value) is not None


def source(value: ir.Value) -> str:
    """Say where a value comes from."""
    tensor = constant_tensor(value)
    if tensor is not None:
        return describe_constant(value, tensor)
    producer = value.producer()
    if producer is None:
        return f"input {describe(value)}"
    index = value.index()
    return label(producer) if not index else f"{label(producer)}, output {index} {value.name!r}"


def _text(node: ir.Node, name: str) -> str | None:
    attribute = node.attributes.data.get(name)
    if attribute is None:
        return None
    if attribute.is_ref():
        return f"@{attribute.ref_attr_name}"
    match attribute.type:
        case ir.AttributeType.TENSOR:
            tensor = attribute.as_tensor()
            few = np.array2string(tensor.numpy(), threshold=8, separator=", ").replace("\n", "")
            return f"{tensor_type(tensor.dtype, ir.Shape(tensor.shape.numpy()))} {few}"
        case ir.AttributeType.GRAPH | ir.AttributeType.GRAPHS | ir.AttributeType.TENSORS:
            return f"({attribute.type.name.lower()})"
        case ir.AttributeType.INTS | ir.AttributeType.FLOATS | ir.AttributeType.STRINGS:
            text = str(list(attribute.value))
        case _:
            text = str(attribute.value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
