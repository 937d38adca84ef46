"""Where an operator stands below a Transpose, and what changes in it when it goes before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import onnx_ir as ir

from graphopt.tensors import Array
from passes.simplify_movement.facts import Permutation


class Place(NamedTuple):
    """Where an operator stands: the permutation of its transposed inputs, which those are, and the opset."""

    node: ir.Node
    perm: Permutation
    transposed: frozenset[int]
    opset: int

    def moved(self, axis: int) -> int:
        """Return where an axis is before the Transpose."""
        return self.perm[axis % len(self.perm)]


@dataclass(frozen=True)
class Move:
    """f' and q of an operator: what changes in it, and the permutation that its outputs then need."""

    perm: Permutation
    attributes: Mapping[str, int | Sequence[int]] = field(default_factory=dict)
    constants: Mapping[int, Array] = field(default_factory=dict)


Layout = Callable[[Place], Move | None]


def left(place: Place, axes: Sequence[int], *, keeps: bool) -> Permutation:
    """Return the permutation of what is left when axes go, or become 1 and stay."""
    ndim = len(place.perm)
    gone = {axis % ndim for axis in axes}
    if len(gone) == ndim:
        return tuple(range(ndim)) if keeps else ()
    if keeps:
        return place.perm
    kept = [place.perm[axis] for axis in range(ndim) if axis not in gone]
    return tuple(sorted(kept).index(axis) for axis in kept)
