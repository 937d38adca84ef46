"""Transposes beside each other."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from graphopt.rewrite import Builder, Match, Refused, Rule, op, var
from graphopt.rewrite.pattern import Op
from passes.simplify_movement.facts import is_identity, permutation, reads


class TransposeTwice(Rule):
    """Transpose(Transpose(x, p), q) = Transpose(x, p∘q), where (p∘q)[i] = p[q[i]]; x if that is the identity."""

    pattern: ClassVar[Op] = op.Transpose(var("x"), name="outer", where=reads("Transpose"))

    def replace(self, match: Match, build: Builder) -> ir.Value:
        """Compose the permutations; one that is not given reverses all axes, however many they are."""
        outer, inner = match.root, match["x"].producer()
        source = None if inner is None else inner.inputs[0]
        if inner is None or source is None:
            raise Refused("the Transpose before it reads nothing")
        if not {"perm"} & (outer.attributes.keys() | inner.attributes.keys()):
            return source
        second = permutation(outer)
        first = permutation(inner, None if second is None else len(second))
        second = permutation(outer, None if first is None else len(first))
        if first is None or second is None:
            raise Refused("the rank of the Transposes is unknown")
        composed = [first[axis] for axis in second]
        return source if is_identity(composed) else build.op("Transpose", source, perm=composed)
