"""Letting the nodes of a region run before the Transposes above it."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names, add_initializer
from passes.simplify_movement.facts import Permutation, inverse, is_identity
from passes.simplify_movement.sinking.place import Move
from passes.simplify_movement.sinking.region import Region


def commit(region: Region, names: Names) -> None:
    """Rewrite the region; whatever outside reads one of its values reads a Transpose of it, under its name."""
    for node in region.moves:
        for output in node.outputs:
            _untranspose(output, node, region, names)
    for node, move in region.moves.items():
        _apply(node, move, region, names)
    erase_unread([transpose.outputs[0] for transpose in region.transposes])


def _untranspose(value: ir.Value, node: ir.Node, region: Region, names: Names) -> None:
    """Let `value`, an output of `node`, stand for what is not transposed yet."""
    perm = region.perms[value]
    if is_identity(perm):
        return
    inside = [(reader, index) for reader, index in value.uses() if reader in region.moves]
    if value.is_graph_output() or len(inside) < len(value.uses()):
        _transpose(value, node, perm, inside)
    value.name = names.fresh(f"{value.name or node.op_type.lower()}_untransposed")
    if value.shape is not None:
        value.shape = ir.Shape(value.shape[axis] for axis in inverse(perm))


def _transpose(value: ir.Value, node: ir.Node, perm: Permutation, inside: list[tuple[ir.Node, int]]) -> None:
    after = ir.node("Transpose", [], {"perm": perm}, num_outputs=1)
    transposed = after.outputs[0]
    transposed.type, transposed.shape = value.type, None if value.shape is None else value.shape.copy()
    name, value.name = value.name, None
    transposed.name = after.name = name
    value.replace_all_uses_with(transposed, replace_graph_outputs=True)
    for reader, index in inside:
        reader.replace_input_with(index, value)
    after.resize_inputs(1)
    after.replace_input_with(0, value)
    node.append(after)


def _apply(node: ir.Node, move: Move, region: Region, names: Names) -> None:
    for index, value in enumerate(node.inputs):
        transpose = None if value is None else value.producer()
        if transpose in region.transposes and transpose is not None:
            node.replace_input_with(index, transpose.inputs[0])
    for name, setting in move.attributes.items():
        (attribute,) = ir.convenience.convert_attributes({name: setting})
        node.attributes[name] = attribute
    for index, array in move.constants.items():
        if index >= len(node.inputs):
            node.resize_inputs(index + 1)
        old = node.inputs[index]
        base = node.outputs[0].name if old is None or not old.name else old.name
        node.replace_input_with(index, add_initializer(region.graph, names.fresh(f"{base}_transposed"), array))
        erase_unread([] if old is None else [old])
