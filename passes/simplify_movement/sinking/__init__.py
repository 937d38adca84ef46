"""Sinking Transposes past the operators that do not mind the order of axes, so that pairs of them meet and cancel.

A region of such operators below a Transpose is moved above it as a whole, and only if fewer Transposes are left
than before, or as many that move fewer elements; so it ends, and what stands cannot be moved back.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from graphopt.ir.edit import Names
from graphopt.ir.traits import has_references
from graphopt.ir.walk import is_op, nodes_within
from graphopt.pipeline.context import Context
from passes.simplify_movement.facts import Permutation, permutation
from passes.simplify_movement.sinking.commit import commit
from passes.simplify_movement.sinking.region import Region, grow


def sink_transposes(model: ir.Model, ctx: Context) -> int:
    """Move every region for which it pays; return how many moved. Functions, which have no shapes, are left alone."""
    groups, opset, count = _groups(model), model.graph.opset_imports.get("", 0), 0
    names = Names(model) if groups else None
    for group in groups:
        seeds: Sequence[ir.Node] = group
        while names is not None and seeds:
            regions, seeds = grow(seeds, opset)
            sunk = sum(_sink(region, names, ctx) for region in regions)
            count += sunk
            if sunk:  # what reads from a region has changed, and gets its turn when pairs have cancelled
                break
    return count


def _groups(model: ir.Model) -> Sequence[Sequence[ir.Node]]:
    """Return the Transposes of a model, in order, by their graph and permutation."""
    groups: dict[tuple[int, Permutation | None], list[ir.Node]] = {}
    for node in nodes_within(model.graph):
        if is_op(node, "Transpose") and not has_references(node):
            groups.setdefault((id(node.graph), permutation(node)), []).append(node)
    return list(groups.values())


def _sink(region: Region, names: Names, ctx: Context) -> bool:
    region.trim()
    saving = region.saving()
    if not region.moves or saving <= (0, 0):
        return False
    for transpose in region.transposes:
        ctx.applied(transpose, f"sinks below {len(region.moves)} operators, which saves {saving[0]} Transposes")
    commit(region, names)
    return True
