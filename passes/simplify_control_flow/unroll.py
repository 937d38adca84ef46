"""A Loop whose number of turns is known, as straight code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphopt.ir.dead import is_unread
from graphopt.ir.traits import is_random
from graphopt.ir.walk import nodes_within
from graphopt.pipeline.context import Context
from graphopt.tensors import Array
from passes.simplify_control_flow.loop import Loop
from passes.simplify_control_flow.site import Scope, Site


def unroll(loop: Loop, scope: Scope, max_nodes: int, ctx: Context) -> list[ir.Node] | None:
    """Put the turns of a Loop one after the other in its place; return their nodes, None where it stays.

    A body that draws random numbers draws as often as before. With a seed it stays, for onnxruntime draws the
    numbers of a seed one after the other, and each copy would start again.
    """
    turns = loop.turns
    if turns is None:
        if loop.limit and loop.limit <= max_nodes:
            ctx.missed(loop.node, f"whether its {loop.limit} turns are all taken is computed in them")
        return None
    if why := _refusal(loop, turns, max_nodes):
        ctx.missed(loop.node, why)
        return None
    ctx.applied(loop.node, f"{turns} turns as straight code" if turns else "it never turns")
    site = Site(scope, loop.node, ctx)
    states, rows = _turns(loop, turns, site)
    return site.finish((*_read(loop.node.outputs, states), *_scans(loop, site, rows)))


def _turns(loop: Loop, turns: int, site: Site) -> tuple[Sequence[ir.Value], list[Sequence[ir.Value]]]:
    """Copy the body for each turn; return the last states, and what is scanned of each turn."""
    states = loop.initial
    rows: list[Sequence[ir.Value]] = []
    constants = site.hoist(loop.body)
    number, condition = loop.body.inputs[:2]
    for turn in range(turns):
        values = constants | dict(zip(loop.states, states, strict=True))
        if not is_unread(number):
            values[number] = site.array(str(number.name), _shaped(np.int64(turn), number))
        if not is_unread(condition):
            values[condition] = site.array(str(condition.name), _shaped(np.True_, condition))
        _, *results = site.copy(loop.body, values, rule="unroll-loop", keep_symbols=False, turn=f"{turn}/")
        states, scanned = results[: len(states)], results[len(states) :]
        rows.append(scanned)
    return states, rows


def _scans(loop: Loop, site: Site, rows: list[Sequence[ir.Value]]) -> list[ir.Value | None]:
    outputs = loop.node.outputs[len(loop.states) :]
    results: list[ir.Value | None] = []
    for index, (output, scanned) in enumerate(zip(outputs, loop.scans, strict=True)):
        if is_unread(output):
            results.append(None)
        elif rows:
            results.append(site.stack(str(output.name), [row[index] for row in rows]))
        else:
            results.append(site.constant(str(output.name), _empty(scanned)))
    return results


def _refusal(loop: Loop, turns: int, max_nodes: int) -> str | None:
    size = turns * sum(1 for _ in nodes_within(loop.body))
    if size > max_nodes:
        return f"as straight code it would be {size} nodes, more than max-nodes={max_nodes}"
    if turns > 1 and any(is_random(node) and "seed" in node.attributes for node in nodes_within(loop.body)):
        return "its turns draw from one random sequence, which a seed starts"
    if any(not isinstance(value.type, ir.TensorType | None) for value in (*loop.initial, *loop.body.outputs)):
        return "it carries sequences or optional values"
    for output, scanned in zip(loop.node.outputs[len(loop.states) :], loop.scans, strict=True):
        if not turns and not is_unread(output) and not _has_fixed_type(scanned):
            return f"it never turns, and the type and sizes of a row of {output.name!r} are unknown"
    return None


def _has_fixed_type(value: ir.Value) -> bool:
    return value.dtype is not None and value.shape is not None and value.shape.is_static()


def _empty(row: ir.Value) -> ir.TensorProtocol:
    """Return no rows of the type of one."""
    if row.dtype is None or row.shape is None:
        raise ValueError(f"the type of {row.name!r} is unknown")
    if row.dtype is ir.DataType.STRING:
        return ir.StringTensor(np.empty((0, *row.shape.numpy()), object), shape=ir.Shape((0, *row.shape.numpy())))
    return ir.Tensor(np.empty((0, *row.shape.numpy()), row.dtype.numpy()), dtype=row.dtype)


def _shaped(number: np.generic, like: ir.Value) -> Array:
    """Return a number as the body declares it: a scalar, or (as onnxruntime allows) a vector of one."""
    return np.full((1,) * (len(like.shape) if like.shape is not None else 0), number)


def _read(outputs: Sequence[ir.Value], results: Sequence[ir.Value]) -> list[ir.Value | None]:
    return [None if is_unread(old) else new for old, new in zip(outputs, results, strict=False)]
