"""Channel shuffle, spelled as Reshape, Transpose, Reshape.

Zhang et al., "ShuffleNet" (2018), section 3.1: C = g·k channels are seen as [g, k], transposed to [k, g] and seen as C
again, which is a permutation of the channels. ONNX has no operator of that name; a Gather by a constant is one
movement of whole planes where there were three operators.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.ir.dims import same_dim, same_shape
from graphopt.rewrite import Builder, Match, Refused, Rule, op, var
from graphopt.rewrite.pattern import Op


class _Split(NamedTuple):
    """An axis of x that is seen as several: `factors` sizes from `axis` on."""

    axis: int
    factors: tuple[int, ...]


class ChannelShuffle(Rule):
    """Reshape(Transpose(Reshape(x))) = Gather(x) where the views split one axis, and that alone is permuted."""

    pattern: ClassVar[Op] = op.Reshape(
        op.Transpose(op.Reshape(var("x"), var(""), name="view"), name="transpose"), var("")
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse what moves elements from one axis to another."""
        if not same_shape(match["x"], match.root.outputs[0]):
            return "it gives another shape than it takes, or one that is not known"
        return None if _permutation(match) is not None else "it permutes more than one axis of known size"

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Pick the channels in their new order."""
        split, permutation = _split(match), _permutation(match)
        if split is None or permutation is None:
            raise Refused("it permutes more than one axis of known size")
        order = np.arange(math.prod(split.factors)).reshape(split.factors).transpose(permutation).reshape(-1)
        return build.op("Gather", match["x"], build.constant("order", order), axis=split.axis)


def _permutation(match: Match) -> tuple[int, ...] | None:
    """Return the order in which the factors stand afterwards, or None where other axes move too."""
    split, view = _split(match), match.node("view").outputs[0].shape
    if split is None or view is None:
        return None
    everywhere = match.attribute("transpose", "perm", tuple(range(len(view)))[::-1])
    inside = range(split.axis, split.axis + len(split.factors))
    if any(axis not in inside and everywhere[axis] != axis for axis in range(len(view))):
        return None
    return tuple(everywhere[axis] - split.axis for axis in inside)


def _split(match: Match) -> _Split | None:
    """Find the axis of x that the view splits: those before and behind it are the same in both."""
    x, view = match["x"].shape, match.node("view").outputs[0].shape
    if x is None or view is None or len(view) <= len(x):
        return None
    count = len(view) - len(x) + 1
    for axis, size in enumerate(x):
        factors = tuple(dim for dim in view[axis : axis + count] if isinstance(dim, int))
        around = zip((*x[:axis], *x[axis + 1 :]), (*view[:axis], *view[axis + count :]), strict=True)
        if len(factors) == count and math.prod(factors) == size and all(same_dim(*pair) for pair in around):
            return _Split(axis, factors)
    return None
