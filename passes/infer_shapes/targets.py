"""Targets of Reshape and Expand that hold symbols, written without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import is_constant
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import is_op, nodes_within
from graphopt.pipeline.context import Context
from passes.infer_shapes.contents import Contents, read
from passes.infer_shapes.elements import Element, is_same

Target = list[int] | None


def simplify_targets(model: ir.Model, contents: Contents, ctx: Context) -> int:
    """Give a constant target to each Reshape and Expand that means the same with one."""
    names = Names(model)
    changes = 0
    for node in tuple(nodes_within(model.graph)):
        if not is_op(node, *_SIMPLIFICATIONS) or is_constant(node.inputs[1]):
            continue
        data, target = node.inputs[0], node.inputs[1]
        elements = read(target, contents)
        if data is None or data.shape is None or target is None or elements is None or node.graph is None:
            continue
        constant = _SIMPLIFICATIONS[node.op_type](node, tuple(data.shape), elements.tolist())
        if constant is None:
            ctx.missed(node, f"only a run decides all dimensions of its target {target.name!r}")
            continue
        name = names.fresh(f"{node.outputs[0].name}_shape")
        node.replace_input_with(1, add_initializer(node.graph, name, np.array(constant, np.int64)))
        ctx.applied(node, f"has the constant target {constant}")
        erase_unread([target])
        changes += 1
    return changes


def _reshape_target(node: ir.Node, dims: Sequence[Element], target: Sequence[Element]) -> Target:
    """Write 0 for a dimension that is the input's own at the same place, and -1 for one that is left.

    Since the elements stay as many, the last open dimension follows from the others. As everywhere in ONNX,
    -1 asks that none of them be 0 at run time.
    """
    keeps = not node.attributes.get_int("allowzero", 0)
    written = [
        element if isinstance(element, int) else 0 if keeps and _is_kept(element, axis, dims) else -1
        for axis, element in enumerate(target)
    ]
    if written.count(-1) > 1 or (not keeps and 0 in written and -1 in written):
        return None
    return written


def _expand_target(_: ir.Node, dims: Sequence[Element], target: Sequence[Element]) -> Target:
    """Write 1 for a dimension that is the input's own: broadcasting keeps it."""
    shift = len(target) - len(dims)
    written = [
        element if isinstance(element, int) else 1 if _is_kept(element, axis - shift, dims) else -1
        for axis, element in enumerate(target)
    ]
    return None if -1 in written else written


def _is_kept(element: Element, axis: int, dims: Sequence[Element]) -> bool:
    return 0 <= axis < len(dims) and is_same(element, dims[axis])


_SIMPLIFICATIONS: dict[str, Callable[[ir.Node, Sequence[Element], Sequence[Element]], Target]] = {
    "Reshape": _reshape_target,
    "Expand": _expand_target,
}
