"""eliminate-identity: remove operators that give back what they are given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.dead import erase_unread, is_unread
from graphopt.ir.edit import can_take_name_of, replace_value
from graphopt.ir.traits import has_references, is_standard
from graphopt.ir.walk import nodes
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from passes.eliminate_identity.facts import FACTS


class EliminateIdentity(Pass):
    """Remove operators whose output is one of their inputs: Identity, and the others where they do nothing.

    passes/eliminate_identity/facts.py lists them. An Identity stays where an output of a graph would else be
    an input, a constant, another output or a value of another scope: each output has a name of its own.
    """

    name: ClassVar[str] = "eliminate-identity"

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Ask the facts about each node in order, so that a chain goes in one run; again where a value became known."""
        changes = 0
        sweep: Iterable[ir.Node] = nodes(model)
        while True:
            learned: dict[ir.Node, None] = {}
            changes += sum(_eliminate(node, ctx, learned) for node in sweep)
            if not learned:
                return changes
            sweep = [node for node in learned if node.graph is not None and all(node.inputs)]


def _eliminate(node: ir.Node, ctx: Context, learned: dict[ir.Node, None]) -> bool:
    fact = FACTS.get(node.op_type) if is_standard(node) and not has_references(node) else None
    same = fact(node) if fact else None
    if same is None or not all(map(is_unread, node.outputs[1:])):
        return False
    output = node.outputs[0]
    if node.op_type == "Identity" and output.is_graph_output() and not can_take_name_of(same, output):
        return _bypass(output, same)
    ctx.applied(node, f"gives back {same.name!r}")
    read = tuple(value for value in node.inputs if value is not None)
    known = same.type, same.shape
    replace_value(output, same)
    erase_unread((output, *read))
    if (same.type, same.shape) != known:
        learned.update(dict.fromkeys(same.consumers()))
    return True


def _bypass(output: ir.Value, same: ir.Value) -> bool:
    """Let all readers but the graph's own output read the value before the Identity that must stay."""
    readers = output.uses()
    for reader, index in readers:
        reader.replace_input_with(index, same)
    return bool(readers)
