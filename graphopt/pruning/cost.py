"""What a model costs, as a function of how many channels of each group have left.

Every count is a sum of products of sizes, and every size falls by the same number of elements for each channel of a
group that leaves. So the count for other widths is had without making the model, and is the very one that counting in
the smaller model gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import NamedTuple

import onnx_ir as ir

from graphopt.coupling.groups import Group, Place
from graphopt.errors import ModelError
from graphopt.inspect.operations import UnknownShapeError, Work, count_operations, size_of, work_of
from graphopt.inspect.statistics import count_parameters
from graphopt.ir.shapes import ShapeSpec, bind_shapes
from graphopt.ir.tensors import Slot, constant_bytes, slots
from graphopt.ir.walk import label, nodes
from graphopt.pruning.budget import Measure

DEFAULT_BATCH = 1

Widths = Mapping[str, int]
"""How many channels stay, by the name of the group; all of them where it is not named."""


class Share(NamedTuple):
    """What a group has of a dimension: `each` elements for each of its channels."""

    group: str
    channels: int
    each: int


@dataclass(frozen=True)
class Size:
    """The size of a dimension: what groups have of it, and `rest`, rounded up to the next `multiple`."""

    rest: int
    shares: tuple[Share, ...] = ()
    multiple: int = 1

    def at(self, widths: Widths) -> int:
        """Return it when so many channels stay."""
        size = self.rest + sum(share.each * widths.get(share.group, share.channels) for share in self.shares)
        return -(-size // self.multiple) * self.multiple


@dataclass(frozen=True)
class Term:
    """A product of sizes; those that no group touches are in `times`."""

    times: int
    sizes: tuple[Size, ...] = ()

    def at(self, widths: Widths) -> int:
        """Return it when so many channels stay."""
        return self.times * prod(size.at(widths) for size in self.sizes)

    def rounded(self, multiple: int) -> Term:
        """Return it with all sizes rounded up."""
        return replace(self, sizes=tuple(replace(size, multiple=multiple) for size in self.sizes))

    @property
    def groups(self) -> frozenset[str]:
        """The groups that it varies with."""
        return frozenset(share.group for size in self.sizes for share in size.shares)


@dataclass(frozen=True)
class Cost:
    """The count of one measure.

    Attributes:
        measure: multiply-adds, operations, elements of constants, or their bytes.
        terms: of nodes or constants that some group touches, by name: their sum varies.
        rest: the sum of all others.

    """

    measure: Measure
    terms: Mapping[str, Term]
    rest: int

    def __call__(self, widths: Widths) -> int:
        """Return the count when so many channels stay."""
        return self.rest + sum(term.at(widths) for term in self.terms.values())

    @property
    def whole(self) -> int:
        """The count of the model as it is."""
        return self({})

    @cached_property
    def by_group(self) -> Mapping[str, Sequence[Term]]:
        """The terms that vary with a group."""
        found: dict[str, list[Term]] = {}
        for term in self.terms.values():
            for group in term.groups:
                found.setdefault(group, []).append(term)
        return found

    def change(self, widths: Widths, group: str, width: int) -> int:
        """Return what is added when a group gets another width, below zero where it gets a narrower one."""
        changed = {**widths, group: width}
        return sum(term.at(changed) - term.at(widths) for term in self.by_group.get(group, ()))

    def beside(self, group: str) -> frozenset[str]:
        """Return the groups that share a term with one: what their changes add depends on its width."""
        return frozenset[str]().union(*(term.groups for term in self.by_group.get(group, ())))


def cost_of(measure: Measure, model: ir.Model, groups: Sequence[Group], vector: int = 1) -> Cost:
    """Return the count of a measure as a function of widths.

    Args:
        measure: any but latency.
        model: with static shapes, such as `counted` returns.
        groups: of its channels.
        vector: how many channels code computes at once: a size that groups have a share of counts as the next multiple.

    Raises:
        ModelError: what a product multiplies has a size that is not known.

    """
    shares = _shares(groups)
    found = list(_constants(measure, model, shares) if measure in _STORED else _operations(measure, model, shares))
    terms = {name: term.rounded(vector) for name, term in found if term.sizes}
    return Cost(measure, terms, sum(term.times for _, term in found if not term.sizes))


def counted(model: ir.Model, shapes: Mapping[str, ShapeSpec] | None = None) -> ir.Model:
    """Return a copy whose operations can be counted: inputs have the given shapes, and a batch of 1 where it is free.

    Raises:
        ModelError: the shapes do not fit the model.

    """
    bound = model.clone()
    if shapes:
        bind_shapes(bound, shapes)
    free = {
        str(value.name): [DEFAULT_BATCH, *(None for _ in value.shape[1:])]
        for value in bound.graph.inputs
        if value.shape and not isinstance(value.shape[0], int)
    }
    bind_shapes(bound, free)
    return bound


_STORED = (Measure.PARAMS, Measure.BYTES)
_Shares = Mapping[Place, tuple[Share, ...]]


def _shares(groups: Sequence[Group]) -> _Shares:
    """Return by dimension what the groups have of it."""
    found: dict[Place, list[Share]] = {}
    for group in groups:
        for place, indices in group.channels[0].places.items():
            found.setdefault(place, []).append(Share(group.name, len(group.channels), len(indices)))
    return {place: tuple(shares) for place, shares in found.items()}


def _term(times: int, sizes: Iterable[Size]) -> Term:
    """Return the product of sizes, those that no group touches multiplied out."""
    sizes = tuple(sizes)
    fixed = prod(size.rest for size in sizes if not size.shares)
    return Term(times * fixed, tuple(size for size in sizes if size.shares))


def _size(whole: int, shares: Sequence[Share]) -> Size:
    return Size(whole - sum(share.each * share.channels for share in shares), tuple(shares))


def _operations(measure: Measure, model: ir.Model, shares: _Shares) -> Iterator[tuple[str, Term]]:
    for node in nodes(model):
        work = _work(node)
        times = 0 if work is None else work.macs if measure is Measure.MACS else work.flops
        if work is None or not times:
            continue
        try:
            sizes = [_size(size_of(dim), shares.get((str(dim.value.name), dim.axis), ())) for dim in work.dims]
        except UnknownShapeError:
            if work.products:
                raise _uncountable(node) from None
        else:
            yield str(node.outputs[0].name), _term(times, sizes)


def _work(node: ir.Node) -> Work | None:
    try:
        return work_of(node)
    except UnknownShapeError:
        return None


def _constants(measure: Measure, model: ir.Model, shares: _Shares) -> Iterator[tuple[str, Term]]:
    for slot in slots(model):
        tensor, name = slot.tensor, _name(slot)
        sizes = [_size(size, shares.get((name, axis), ())) for axis, size in enumerate(tensor.shape.numpy())]
        if not any(size.shares for size in sizes):
            yield name, Term(tensor.nbytes if measure is Measure.BYTES else tensor.size)
        else:
            yield name, _term(int(tensor.dtype.itemsize) if measure is Measure.BYTES else 1, sizes)


def _name(slot: Slot) -> str:
    return str(slot.owner.name if isinstance(slot.owner, ir.Value) else slot.owner.outputs[0].name)


def _uncountable(node: ir.Node) -> ModelError:
    return ModelError(
        f"the multiply-adds of {label(node)} cannot be counted, as its shapes are not known; "
        "fix the shapes of the inputs, or ask for fewer parameters or bytes"
    )


def count(measure: Measure, model: ir.Model) -> int:
    """Count a measure in a model with static shapes, which it is any of but latency."""
    match measure:
        case Measure.PARAMS:
            return count_parameters(model)
        case Measure.BYTES:
            return constant_bytes(model)
        case Measure.FLOPS:
            return count_operations(model).flops
        case _:
            return count_operations(model).macs
