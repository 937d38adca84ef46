"""Two models as one story of two stages, in which nodes that belong together are the same."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from graphopt.pipeline.check import output_name
from graphopt.pipeline.report import Size
from graphopt.report.document import View
from graphopt.report.snapshot import Identity, Tables, shown, with_shapes
from graphopt.report.story import Kind, Stage, Story
from graphopt.rewrite.provenance import provenance


def comparison(one: ir.Model, other: ir.Model, pairs: Iterable[tuple[ir.Node, ir.Node]], title: str) -> View:
    """Return two models as a page.

    Where the second tells which nodes of the first its rewrites took, they are the parents of what these made.

    Args:
        one, other: the models.
        pairs: which of their nodes are the same.
        title: of the page; if empty, the names of the graphs.

    """
    ids = {node: Identity(number) for number, (node, _) in enumerate(shown(one))}
    images = {right: ids[left] for left, right in pairs if left in ids}
    by_name = {name: identity.id for node, identity in ids.items() for name in (node.name, output_name(node)) if name}
    fresh = len(ids)
    later: dict[ir.Node, Identity] = {}
    for node, _ in shown(other):
        number = images[node].id if node in images else fresh
        later[node] = Identity(number, tuple(sorted(_parents(node, by_name) - {number})))
        fresh += node not in images
    tables = Tables()
    stages = _stage(tables, "before", one, ids), _stage(tables, "after", other, later)
    return View(
        Story(
            kind=Kind.DIFF,
            title=title or f"{one.graph.name} → {other.graph.name}",
            nodes=tuple(tables.nodes),
            values=tuple(tables.values),
            stages=stages,
            notes=tuple(tables.notes(stages[-1])),
        )
    )


def _stage(tables: Tables, name: str, model: ir.Model, ids: dict[ir.Node, Identity]) -> Stage:
    copy = with_shapes(model)
    twins = {twin.node: ids[own.node] for own, twin in zip(shown(model), shown(copy), strict=True)}
    size = Size.of(model)
    return Stage(name, {"nodes": size.nodes, "parameters": size.parameters}, *tables.snapshot(copy, twins))


def _parents(node: ir.Node, by_name: dict[str, int]) -> set[int]:
    past = provenance(node)
    return set() if past is None else {by_name[name] for name in past.sources if name in by_name}
