"""A node as the rules see it: its operands with their axes, and the verbs that say how these relate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import onnx_ir as ir

from graphopt.coupling.groups import IntArray, Place, Sum
from graphopt.coupling.operands import integers
from graphopt.coupling.positions import Positions
from graphopt.ir.constants import constant
from graphopt.ir.walk import label
from graphopt.tensors import Array


@dataclass(frozen=True)
class Operand:
    """An input or output of a node.

    Attributes:
        name: of its places.
        shape: sizes; a symbol or None where a size is not known.

    """

    name: str
    shape: tuple[int | str | None, ...]

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """The shape, where all of it is known."""
        known = tuple(size for size in self.shape if isinstance(size, int))
        return known if len(known) == self.rank else None


@dataclass(frozen=True)
class Weight:
    """An axis of a constant that a node multiplies with: it makes channels along it, or sums over them."""

    node: ir.Node
    place: Place
    makes: bool


@dataclass
class Findings:
    """What all rules have said so far.

    Attributes:
        positions: of all axes of known size.
        weights, sums: what multiplies, and where channels end.
        undecided: asked again when the rest is known.

    """

    positions: Positions = field(default_factory=Positions)
    weights: list[Weight] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)
    undecided: list[Undecided] = field(default_factory=list)


class Undecided(Protocol):
    """A choice between axes; which can shrink at all is known only when everything around it is."""

    @property
    def decided(self) -> bool:
        """Whether nothing is left to choose."""

    def narrow(self) -> bool:
        """Exclude what is known to be impossible, and decide where one choice or none is left; say if that was news."""

    def decide(self) -> None:
        """Take the likeliest choice."""


class Site:
    """A node of a standard operator; all its operands have known ranks, and its first input and output are there."""

    def __init__(
        self,
        node: ir.Node,
        inputs: tuple[Operand | None, ...],
        outputs: tuple[Operand | None, ...],
        opset: int,
        findings: Findings,
    ) -> None:
        self.node = node
        self.inputs = inputs
        self.outputs = outputs
        self.opset = opset
        self.findings = findings

    @property
    def data(self) -> Operand:
        """The first input."""
        operand = self.inputs[0]
        if operand is None:
            raise ValueError(f"{label(self.node)} has no first input")
        return operand

    @property
    def result(self) -> Operand:
        """The first output."""
        operand = self.outputs[0]
        if operand is None:
            raise ValueError(f"{label(self.node)} has no first output")
        return operand

    def input(self, index: int) -> Operand | None:
        """Return an input, None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int) -> Array | None:
        """Return the content of an input, None where it is left out or no constant."""
        return constant(self.node.inputs[index]) if index < len(self.node.inputs) else None

    def integers(self, name: str, index: int) -> list[int] | None:
        """Return an operand that was an attribute in older opsets, None where it is left out or no constant."""
        return integers(self.node, name, index)

    def axis(self, default: int) -> int:
        """Return the attribute `axis`, counted from the front of the first input."""
        axis = self.node.attributes.get_int("axis", default)
        return axis + self.data.rank if axis < 0 else axis

    def positions(self, operand: Operand, axis: int) -> IntArray | None:
        """Return the positions of an axis, None where its size is not known."""
        place = operand.name, axis
        return self.findings.positions.at(place) if place in self.findings.positions else None

    def tie(
        self,
        first: Operand | None,
        axis: int,
        second: Operand | None,
        other: int,
        *,
        at: tuple[IntArray, IntArray] | None = None,
    ) -> None:
        """Let what leaves along one axis leave along another, index by index or as `at` pairs them."""
        if first is None or second is None:
            return
        ones, others = self.positions(first, axis), self.positions(second, other)
        if ones is None or others is None or (at is None and ones.size != others.size):
            self.freeze(first, axis, "lines it up with a size that is not known")
            self.freeze(second, other, "lines it up with a size that is not known")
            return
        pairs = (ones, others) if at is None else (ones[at[0]], others[at[1]])
        self.findings.positions.tie(*pairs)

    def freeze(self, operand: Operand | None, axis: int, why: str, *, at: IntArray | None = None) -> None:
        """Let an axis stay, or some of its indices. `why` begins with a verb, whose subject is the node."""
        positions = None if operand is None else self.positions(operand, axis)
        if positions is not None:
            self.findings.positions.freeze(positions if at is None else positions[at], f"{label(self.node)} {why}")

    def freeze_from(self, operand: Operand | None, axis: int, why: str) -> None:
        """Let all axes from one on stay."""
        if operand is not None:
            for later in range(axis, operand.rank):
                self.freeze(operand, later, why)

    def freeze_all(self, why: str) -> None:
        """Let all axes of all operands stay."""
        for operand in self.operands():
            self.freeze_from(operand, 0, why)

    def operands(self) -> Iterator[Operand]:
        """Yield what is read and made."""
        yield from (operand for operand in (*self.inputs, *self.outputs) if operand is not None)

    def multiplies(self, index: int, *, makes: int | None = None, sums: int | None = None) -> None:
        """Say that an input is a weight that makes channels along one of its axes, and sums over them along another."""
        operand = self.inputs[index]
        if operand is None:
            return
        for axis, made in ((makes, True), (sums, False)):
            if axis is not None:
                self.findings.weights.append(Weight(self.node, (operand.name, axis), made))
        if sums is not None:
            self.sums(index, sums)

    def sums(self, index: int, axis: int) -> None:
        """Say that zeros along an axis of an input contribute nothing."""
        self.findings.sums.append(Sum(str(self.node.outputs[0].name), index, axis))


Rule = Callable[[Site], None]
Rules = Mapping[str, Rule]
