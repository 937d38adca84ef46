"""What a Loop need not carry from turn to turn, nor compute."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from graphopt.ir.dead import erase, is_dead, is_unread
from graphopt.ir.edit import replace_value
from graphopt.ir.walk import nodes_within, subgraphs
from graphopt.pipeline.context import Context
from passes.simplify_control_flow.loop import Loop
from passes.simplify_control_flow.site import given_through, rebuild


def capture_unchanging(loop: Loop, ctx: Context) -> list[ir.Node] | None:
    """Read from outside what no turn changes; return the Loop that is left, if one is, None where it stays."""
    fixed = [
        index
        for index, (state, following) in enumerate(zip(loop.states, loop.next_states, strict=True))
        if given_through(following, loop.body) is state and _leaves_only_once(state, loop.body)
    ]
    if not fixed:
        return None
    for index in fixed:
        ctx.applied(loop.node, f"no turn changes {loop.states[index].name!r}")
        replace_value(loop.node.outputs[index], loop.initial[index])
    return _without(loop, set(fixed))


def drop_unread(loop: Loop, ctx: Context) -> list[ir.Node] | None:
    """Drop the outputs that neither a reader nor a later turn needs; return the Loop that is left, or None."""
    if all(map(is_unread, loop.node.outputs)) or not any(map(is_unread, loop.node.outputs)):
        return None
    needed = _needed(loop)
    unneeded = {index for index in range(len(loop.node.outputs)) if index not in needed}
    if not unneeded:
        return None
    ctx.applied(loop.node, "outputs that nothing reads are not computed")
    return _without(loop, unneeded)


def _leaves_only_once(state: ir.Value, body: ir.Graph) -> bool:
    """Whether a state is no output of the body but its own: an output must be of the body."""
    return sum(output is state for output in body.outputs) <= 1


def _without(loop: Loop, dropped: set[int]) -> list[ir.Node]:
    """Rebuild a Loop without some of its outputs, and the states behind them: their readers read what they begin as."""
    kept = [index for index in range(len(loop.node.outputs)) if index not in dropped]
    states = [index for index in kept if index < len(loop.states)]
    body, node, count = loop.body, loop.node, len(loop.states)
    inputs = (*node.inputs[:2], *(loop.initial[index] for index in states))
    gone = {loop.states[index]: loop.initial[index] for index in dropped if index < count}
    body.outputs[:] = [body.outputs[0], *(body.outputs[1 + index] for index in kept)]
    for inner in reversed(body):
        if is_dead(inner):
            erase(inner)
    body.inputs[:] = [value for value in body.inputs if value not in gone]
    for state, initial in gone.items():  # before the node goes, and with it what nothing else reads
        state.replace_all_uses_with(initial)
    return rebuild(node, inputs, kept)


def _needed(loop: Loop) -> set[int]:
    """Return the outputs that are read, and the states that these, or the condition, come to depend on."""
    states = {state: index for index, state in enumerate(loop.states)}
    needed: set[int] = set()
    seen: set[ir.Value] = set()
    pending = [loop.body.outputs[0]]
    pending += [value for node in loop.body if not node.outputs for value in _reads(node)]

    def need(index: int) -> None:
        if index not in needed:
            needed.add(index)
            pending.append(loop.body.outputs[1 + index])

    for index, output in enumerate(loop.node.outputs):
        if not is_unread(output):
            need(index)
    while pending:
        value = pending.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in states:
            need(states[value])
        producer = value.producer()
        if producer is not None and producer.graph is loop.body:
            pending.extend(_reads(producer))
    return needed


def _reads(node: ir.Node) -> Iterable[ir.Value]:
    """Yield what a node and the graphs in it read."""
    yield from (value for value in node.inputs if value is not None)
    for graph in subgraphs(node):
        yield from graph.outputs
        for inner in nodes_within(graph):
            yield from (value for value in inner.inputs if value is not None)
