"""Reshape and Flatten as maps between strides: an axis that is split or merged is a product of finer axes.

Both shapes are refined into the axes that they have in common: C → (g, C/g) has the finer axes (g, C/g). Only one of
them can shrink, and takes what is an index of it along the split or merged axis: where C/g shrinks, the channels of
equal position in each group leave together. So channel shuffle, flattening and attention heads need no case of their
own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np
import onnx_ir as ir

from graphopt.coupling.cut import Cut
from graphopt.coupling.groups import IntArray
from graphopt.coupling.positions import NO_REASON, united
from graphopt.coupling.site import Operand, Site
from graphopt.ir.constants import constant

Axis = tuple[Operand, int, int]
"""An operand, an axis of it, and its size."""

SHAPE = 1  # the input of Reshape that says the sizes


def reshape(site: Site) -> None:
    """Tie the axes that stay, and refine the others (ONNX operator spec, Reshape-5, Flatten-1)."""
    shape = site.input(SHAPE)
    if shape is not None and site.constant(SHAPE) is None:
        return site.freeze_all("computes its shape")
    return _match(site, site.data, site.result)


def adjust(node: ir.Node, cut: Cut) -> None:
    """Write the new sizes into the shape constant, but where -1 or a copying 0 finds them by itself."""
    sizes = constant(node.inputs[SHAPE]) if len(node.inputs) > SHAPE else None
    data, result = node.inputs[0], node.outputs[0]
    if sizes is None or data is None or result.shape is None:
        return
    changed = sizes.copy()
    for axis, (entry, size) in enumerate(zip(sizes.tolist(), result.shape, strict=True)):
        leaving = cut.of(result, axis).size
        copied = entry == 0 and leaving == cut.of(data, axis).size
        if entry != -1 and not copied and isinstance(size, int):
            changed[axis] = size - leaving
    if not np.array_equal(sizes, changed):
        cut.give(node, SHAPE, changed)


def _match(site: Site, before: Operand, after: Operand) -> None:
    """Tie equal axes from the front and from the back, what is between by strides."""
    left, right = list(enumerate(before.shape)), list(enumerate(after.shape))
    for end in (0, -1):
        while left and right and left[end][1] == right[end][1] is not None:
            site.tie(before, left.pop(end)[0], after, right.pop(end)[0])
    if left and right and _same_symbol(left, right):
        left, right = left[1:], right[1:]
    ones: list[Axis] = [(before, axis, size) for axis, size in left if isinstance(size, int)]
    others: list[Axis] = [(after, axis, size) for axis, size in right if isinstance(size, int)]
    if len(ones) < len(left) or len(others) < len(right) or 0 in (*before.shape, *after.shape):
        for operand, axis, _ in (*ones, *others):
            site.freeze(operand, axis, "reshapes it together with a size that is not known")
        return
    for sides in _segments([one for one in ones if one[2] > 1], [other for other in others if other[2] > 1]):
        _refine(site, *sides)


def _same_symbol(left: Sequence[tuple[int, int | str | None]], right: Sequence[tuple[int, int | str | None]]) -> bool:
    """Whether the first sizes of both are unknown, and equal since all others make up the same product."""
    if isinstance(left[0][1], int) or isinstance(right[0][1], int):
        return False
    rests = [[size for _, size in side[1:] if isinstance(size, int)] for side in (left, right)]
    known = len(rests[0]) == len(left) - 1 and len(rests[1]) == len(right) - 1
    return known and math.prod(rests[0]) == math.prod(rests[1])


def _segments(left: Sequence[Axis], right: Sequence[Axis]) -> Iterator[tuple[list[Axis], list[Axis]]]:
    """Cut both sides wherever the products of what is before are equal."""
    ends = [list(accumulate((size for _, _, size in side), lambda a, b: a * b)) for side in (left, right)]
    starts = [0, 0]
    for product in sorted(set(ends[0]) & set(ends[1])):
        stops = [side.index(product) + 1 for side in ends]
        yield list(left[starts[0] : stops[0]]), list(right[starts[1] : stops[1]])
        starts = stops


def _refine(site: Site, left: Sequence[Axis], right: Sequence[Axis]) -> None:
    if len(left) == len(right) == 1:
        site.tie(left[0][0], left[0][1], right[0][0], right[0][1])
        return
    products = {1}
    for side in (left, right):
        products |= set(accumulate((size for _, _, size in side), lambda a, b: a * b))
    cuts = sorted(products)
    if any(larger % smaller for smaller, larger in pairwise(cuts)):
        for operand, axis, _ in (*left, *right):
            site.freeze(operand, axis, "reshapes it into axes that share no stride with it")
        return
    sizes = [larger // smaller for smaller, larger in pairwise(cuts)]
    site.findings.undecided.append(_Choice(site, sizes, [*_spans(left, cuts), *_spans(right, cuts)]))


def _spans(side: Sequence[Axis], cuts: Sequence[int]) -> Iterator[tuple[Operand, int, range]]:
    """Yield each axis with the numbers of the finer axes that it consists of."""
    product = 1
    for operand, axis, size in side:
        first = cuts.index(product)
        product *= size
        yield operand, axis, range(first, cuts.index(product))


class _Choice:
    """Which of the finer axes can shrink: at most one, all others then stay as long as they are."""

    def __init__(self, site: Site, sizes: Sequence[int], axes: Sequence[tuple[Operand, int, range]]) -> None:
        self._site = site
        self._sizes = sizes
        self._axes = axes
        self._open = set(range(len(sizes)))
        self._decided = False

    @property
    def decided(self) -> bool:
        return self._decided

    def narrow(self) -> bool:
        """Exclude the parts of axes that stay whole."""
        kept = self._site.findings.positions.kept()
        for operand, axis, span in self._axes:
            positions = self._site.positions(operand, axis)
            if positions is not None and (kept[positions] != NO_REASON).all():
                self._open.difference_update(span)
        news = self._freeze_closed()
        if len(self._open) <= 1:
            self._finish()
        return news or self._decided

    def decide(self) -> None:
        """Take the innermost part of which not all would have to leave together.

        What splits channels into groups puts the groups first.
        """
        parts = sorted(self._open, reverse=True)
        self._open = {next((part for part in parts if self._is_divisible(part)), parts[0])}
        self._freeze_closed()
        self._finish()

    def _is_divisible(self, part: int) -> bool:
        """Whether what belongs together already leaves a part more than one class of indices."""
        classes = self._site.findings.positions.classes()
        size = self._sizes[part]
        pairs = [(classes[positions], index) for positions, index in self._along(part)]
        of_class, indices = (np.concatenate(side) for side in zip(*pairs, strict=True))
        known, numbers = np.unique(of_class, return_inverse=True)
        roots = united(np.arange(size + known.size), indices, size + numbers)
        return bool(roots[:size].any())

    def _along(self, part: int) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the positions of each axis that has a part, with their indices along it."""
        for operand, axis, span in self._axes:
            positions = self._site.positions(operand, axis)
            if part in span and positions is not None:
                inner = math.prod(self._sizes[part + 1 : span.stop])
                yield positions, np.arange(positions.size) // inner % self._sizes[part]

    def _freeze_closed(self) -> bool:
        """Freeze the axes that have no part that could shrink; say whether one could until now."""
        kept = self._site.findings.positions.kept()
        news = False
        for operand, axis, span in self._axes:
            positions = self._site.positions(operand, axis)
            if positions is not None and self._open.isdisjoint(span) and (kept[positions] == NO_REASON).any():
                self._site.freeze(operand, axis, "reshapes it together with an axis that stays")
                news = True
        return news

    def _finish(self) -> None:
        """Tie the axes that contain the chosen part, by their index along it."""
        self._decided = True
        for part in self._open:
            (first, numbers), *others = self._along(part)
            representative = first[np.unique(numbers, return_index=True)[1]]
            for positions, index in ((first, numbers), *others):
                self._site.findings.positions.tie(positions, representative[index])
