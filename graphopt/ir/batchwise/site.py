"""A node as the rules of the proof see it: what its inputs are to the batch, their shapes, its operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.tensors import Array


class Kind(Enum):
    """What a value is to a batch that is cut in two, and run twice."""

    SAMPLES = auto()
    """Its leading axis is the batch, and each row follows from that sample alone: the two results, concatenated."""
    SAME = auto()
    """The same in both runs: it depends on no sample, nor on how many there are."""
    SIZE = auto()
    """It depends on how many samples there are, but on none of them: shape arithmetic."""


@dataclass(frozen=True)
class Site:
    """A node, its operands and what they are; those that it lacks are None in `kinds`.

    `inputs` are all that the node has, or those of them that an operator of the same meaning would have (`of`).
    """

    node: ir.Node
    inputs: tuple[ir.Value | None, ...]
    kinds: tuple[Kind | None, ...]
    opset: int

    def of(self, places: Sequence[int]) -> Site:
        """Return the site with some of the inputs alone, in that order; None where one is left out."""
        inputs = tuple(self.inputs[place] if place < len(self.inputs) else None for place in places)
        return replace(self, inputs=inputs, kinds=tuple(map(self.kind, places)))

    def kind(self, index: int) -> Kind | None:
        """Return what an input is, None where it is left out."""
        return self.kinds[index] if index < len(self.kinds) else None

    def shape(self, index: int) -> ir.Shape | None:
        """Return the shape of an input, None where it is unknown or the input is left out."""
        value = self.inputs[index] if index < len(self.inputs) else None
        return None if value is None else value.shape

    def rank(self, index: int = 0) -> int | None:
        """Return how many axes an input has, if that is known."""
        shape = self.shape(index)
        return None if shape is None else len(shape)

    def given(self) -> dict[int, Kind]:
        """Return what the inputs that are there are, by their index."""
        return {index: kind for index, kind in enumerate(self.kinds) if kind is not None}

    def axis(self, default: int, *, added: int = 0) -> int | None:
        """Return the attribute `axis`, counted from the front of the first input, which has `added` axes more."""
        return self.counted(self.node.attributes.get_int("axis", default), added=added)

    def counted(self, axis: int, *, added: int = 0) -> int | None:
        """Count an axis from the front; None where that needs a rank that is unknown."""
        rank = self.rank()
        return axis if axis >= 0 else None if rank is None else axis + rank + added

    def array(self, name: str, index: int) -> Array | None:
        """Return an operand that was an attribute in older opsets, where it is a constant."""
        if name in self.node.attributes:
            return np.asarray(self.node.attributes[name].value)
        return constant(self.node.inputs[index]) if index < len(self.node.inputs) else None

    def axes(self, index: int, *, added: int = 0) -> list[int] | None:
        """Return the operand `axes`, counted from the front; None where it is left out or no constant."""
        given = self.array("axes", index)
        if given is None:
            return None
        counted = [self.counted(int(axis), added=added) for axis in given.ravel()]
        return None if None in counted else [axis for axis in counted if axis is not None]
