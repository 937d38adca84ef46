"""Transposes beside each other, and after a Pad."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Rule, const, op, optional, var
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import has_setting, integers, is_identity, maker, reads


class TransposeTwice(Rule):
    """Transpose(Transpose(x, p), q) = Transpose(x, p∘q), where (p∘q)[i] = p[q[i]]; x if that is the identity."""

    pattern: ClassVar[Op] = op.Transpose(var("x"), name="outer", where=reads("Transpose"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Compose the permutations; one that is not given reverses all axes, however many they are."""
        inner, source = maker(match["x"])
        given = [node.attributes["perm"] for node in (inner, match.root) if "perm" in node.attributes]
        if not given:
            return source
        backward = range(len(given[0].as_ints()))[::-1]
        first, second = (node.attributes.get_ints("perm", backward) for node in (inner, match.root))
        composed = [first[axis] for axis in second]
        return source if is_identity(composed) else build.op("Transpose", source, perm=composed)


def _pads(node: ir.Node) -> tuple[int, ...] | None:
    """Return the pads of a Pad of all axes that crops none, begins and then ends, or None."""
    pads = integers(node, "pads", 1)
    return None if pads is None or min(pads, default=-1) < 0 or has_setting(node, "axes", 3) else pads


class TransposeOfPad(Rule):
    """Transpose(Pad(x, [begins, ends]), p) = Pad(Transpose(x, p), [begins∘p, ends∘p]): there is less to transpose.

    Exporters of channels-last networks pad there, while what could take the padding in stands below the Transpose.
    """

    pattern: ClassVar[Op] = op.Transpose(
        op.Pad(
            var("x"), optional(const("pads")), optional(var("value")), name="pad", where=lambda node: bool(_pads(node))
        ),
        name="transpose",
    )

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Pad each axis where it goes."""
        pad, pads = match.node("pad"), _pads(match.node("pad")) or ()
        ndim = len(pads) // 2
        perm = match.attribute("transpose", "perm", tuple(reversed(range(ndim))))
        moved = [*(pads[axis] for axis in perm), *(pads[ndim + axis] for axis in perm)]
        x = build.op("Transpose", match["x"], perm=perm)
        attributes = {name: attribute.value for name, attribute in pad.attributes.items()}
        if "pads" in attributes:
            return build.op("Pad", x, **{**attributes, "pads": moved})
        return build.op("Pad", x, build.constant("pads", np.array(moved, np.int64)), match.get("value"), **attributes)
