"""Which values have one set of parameters, since what moves elements does not change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import networkx as nx
import onnx_ir as ir

from graphopt.ir.walk import is_op
from graphopt.quantization.obstacles import activations
from graphopt.quantization.selection import Selection

WORST_LOSS = 2.0
"""How many times as wide as its own a range may become where a Concat could leave it: one bit is lost at most."""


class Range(NamedTuple):
    """The real numbers that integers are spread over."""

    lower: float
    upper: float

    @property
    def width(self) -> float:
        """Return how far the ends lie apart, zero included."""
        return max(self.upper, 0.0) - min(self.lower, 0.0)

    def holds(self, other: Range) -> bool:
        """Whether another range lies within this one."""
        return self.lower <= other.lower and other.upper <= self.upper


def shared_ranges(selection: Selection, ranges: Mapping[str, tuple[float, float]]) -> dict[ir.Value, Range]:
    """Return the range of every selected value; those that share parameters have one range.

    What moves elements shares that of its input: it is as wide as its widest source. A Concat can give each input
    parameters of its own, and does where one range for all would cost an input more than a bit, or reach beyond the
    clamp before it, which then could not be absorbed.

    Args:
        selection: of the nodes and values.
        ranges: the least and the greatest number of each of `selection.sources`, by name.

    """
    groups = nx.utils.UnionFind(selection.values)
    own = {value: Range(*ranges[str(value.name)]) for value in selection.sources}
    concats = [node for node in selection.moves if is_op(node, "Concat")]
    for node in selection.moves:
        if not is_op(node, "Concat"):
            groups.union(*_ends(node))
    for concat in concats:
        own |= _joined(concat, groups, own, selection.clamps)
    merged = _by_group(groups, own)
    return {value: merged[groups[value]] for value in selection.values}


def _joined(
    concat: ir.Node,
    groups: nx.utils.UnionFind,
    own: Mapping[ir.Value, Range],
    clamps: Mapping[ir.Value, tuple[float, float]],
) -> dict[ir.Value, Range]:
    """Join what a Concat reads and makes, or return the range of what it makes."""
    merged = _by_group(groups, own)
    inputs = [value for _, value in activations(concat)]
    whole = _hull(merged[groups[value]] for value in inputs)
    members = {groups[value] for value in inputs}
    clamped = [Range(*bounds) for value, bounds in clamps.items() if groups[value] in members]
    fits = all(whole.width <= WORST_LOSS * merged[group].width for group in members)
    if fits and all(clamp.holds(whole) for clamp in clamped):
        groups.union(*_ends(concat))
        return {}
    return {concat.outputs[0]: whole}


def _ends(node: ir.Node) -> list[ir.Value]:
    return [value for _, value in activations(node)] + [value for value in node.outputs if value.name]


def _by_group(groups: nx.utils.UnionFind, own: Mapping[ir.Value, Range]) -> dict[ir.Value, Range]:
    found: dict[ir.Value, list[Range]] = {}
    for value, one in own.items():
        found.setdefault(groups[value], []).append(one)
    return {group: _hull(several) for group, several in found.items()}


def _hull(ranges: Iterable[Range]) -> Range:
    several = list(ranges)
    return Range(min(one.lower for one in several), max(one.upper for one in several))
