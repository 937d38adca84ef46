"""Sinking Transposes past the operators that do not mind the order of axes, so that pairs of them meet and cancel.

A region of such operators below a Transpose is moved above it as a whole, and only if fewer Transposes are left
than before, or as many that move fewer elements; so it ends, and what stands cannot be moved back.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from graphopt.ir.edit import Names
from graphopt.ir.traits import has_references
from graphopt.ir.walk import is_op
from graphopt.pipeline.context import Context
from passes.simplify_movement.sinking.commit import commit
from passes.simplify_movement.sinking.region import grow


def sink_transposes(model: ir.Model, ctx: Context) -> int:
    """Move every region for which it pays; return how many moved. Functions, which have no shapes, are left alone."""
    names: Names | None = None
    opset, count = model.graph.opset_imports.get("", 0), 0
    for transpose in list(_transposes(model)):
        region = grow(transpose, opset) if transpose.graph is not None else None
        if region is None or not region.moves:
            continue
        region.trim()
        if not region.moves or region.saving() <= (0, 0):
            continue
        names = names or Names(model)
        ctx.applied(transpose, f"sinks below {len(region.moves)} operators and saves {region.saving()[0]} Transposes")
        commit(region, names)
        count += 1
    return count


def _transposes(model: ir.Model) -> Iterator[ir.Node]:
    for node in model.graph.all_nodes():
        if is_op(node, "Transpose") and not has_references(node):
            yield node
