"""Chains of casts, where the type in the middle holds every number of the first.

Casts of a number outside of the last type's range are undefined (ONNX operator spec, Cast-13), so on these the
two sides may differ.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.rewrite import Builder, Match, Rule, op, since, var
from graphopt.rewrite.pattern import Op
from passes.simplify_algebra.values import FLOATS, made_by, source


class CastTwice(Rule):
    """Cast(Cast(x: A → B) → C) = Cast(x: A → C), or x if A is C, where B loses nothing of A and C is no text."""

    pattern: ClassVar[Op] = op.Cast(
        var("x", lambda value: made_by("Cast")(value) and holds(value.dtype, source(value).dtype)), name="cast"
    )

    def refuse(self, match: Match) -> str | None:
        """Refuse text, which shows the digits of the type in the middle."""
        if match.attribute("cast", "to", 0) == ir.DataType.STRING:
            return f"the text that it makes depends on the type of {match['x'].name!r}"
        return None

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Cast at once, or not at all."""
        x = source(match["x"])
        return x if x.dtype == match.attribute("cast", "to", 0) else build.like(match.root, [x])


class CastLike(Rule):
    """CastLike(x, y: B) = Cast(x → B), which does not depend on y."""

    opsets: ClassVar[range] = since(15)
    pattern: ClassVar[Op] = op.CastLike(
        var("x", lambda value: constant(value) is None), var("like", lambda value: value.dtype is not None), name="cast"
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Cast to the type of the other."""
        cast = ir.Node("", "Cast", [], match.root.attributes.values(), num_outputs=1)
        dtype = match["like"].dtype or ir.DataType.UNDEFINED
        cast.outputs[0].type = ir.TensorType(dtype)
        return build.like(cast, [match["x"]], to=dtype.value)


def holds(wide: ir.DataType | None, narrow: ir.DataType | None) -> bool:
    """Whether a type of at least a byte represents every number of another: integers, floats and bool."""
    if wide is None or narrow is None or wide is narrow:
        return False
    if narrow is ir.DataType.BOOL:
        return wide in FLOATS or _bits(wide) is not None
    if wide in FLOATS and narrow in FLOATS:
        outer, inner = FLOATS[wide], FLOATS[narrow]
        return outer.mantissa >= inner.mantissa and outer.exponent >= inner.exponent
    bits = _bits(narrow)
    if bits is None:
        return False
    if wide in FLOATS:
        return FLOATS[wide].mantissa + 1 >= bits
    return _bits(wide) is not None and np.can_cast(narrow.numpy(), wide.numpy(), "safe")


def _bits(dtype: ir.DataType) -> int | None:
    kind = dtype.numpy()
    return kind.itemsize * 8 if kind.isbuiltin == 1 and kind.kind in "iu" else None
