"""simplify-movement: merge and remove operators that only move data, and sink Transposes until they cancel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import onnx_ir as ir

from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from graphopt.rewrite import Rule, apply_rules
from passes.simplify_movement.concats import ConcatOfConcat, ConcatOfNothing, ConcatOfSlices, ConcatOfSplit
from passes.simplify_movement.copies import (
    BlocksThereAndBack,
    ExpandThenBroadcast,
    ExpandTwice,
    TileTwice,
)
from passes.simplify_movement.gathers import GatherOfChoice, GatherOfConcat, SliceOfGather
from passes.simplify_movement.sinking import sink_transposes
from passes.simplify_movement.slices import GatherOfRun, SliceOfConcat, SliceOfSlice
from passes.simplify_movement.splits import SplitForOnePart, SplitOfConcat
from passes.simplify_movement.transposes import TransposeOfPad, TransposeTwice
from passes.simplify_movement.views import TransposeOfOnes, ViewOfView

_MERGING: Sequence[Rule] = (
    ViewOfView(),
    TransposeTwice(),
    TransposeOfPad(),
    SliceOfSlice(),
    SliceOfConcat(),
    GatherOfRun(),
    GatherOfChoice(),
    SliceOfGather(),
    GatherOfConcat(),
    SplitOfConcat(),
    SplitForOnePart(),
    ConcatOfNothing(),
    ConcatOfSplit(),
    ConcatOfSlices(),
    ConcatOfConcat(),
    ExpandTwice(),
    ExpandThenBroadcast(),
    TileTwice(),
    BlocksThereAndBack(),
)


class SimplifyMovement(Pass):
    """Merge operators that only move data, remove what they undo, and sink Transposes to where they cancel.

    Canonical forms: a chain of Reshape, Flatten, Squeeze and Unsqueeze is one of them, a Reshape where a constant
    target with 0 and -1 can say it; a run of indices is a Slice; one part of a Split is a Slice; a Transpose that
    moves only axes of size 1 is a Reshape, unless sinking cancels it. Every element stays as it is, bit by bit, but
    for the last digits of sums whose axes a Transpose passed: they may be added in another order.
    """

    name: ClassVar[str] = "simplify-movement"

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Merge and sink by turns until neither finds anything."""
        changes = 0
        while found := apply_rules(model, _MERGING, ctx) + sink_transposes(model, ctx):
            changes += found
        if reshaped := apply_rules(model, (TransposeOfOnes(),), ctx):
            return changes + reshaped + self.run(model, ctx)
        return changes
