"""The parts of a Loop by their names, and how often it turns (ONNX operator spec, Loop)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx_ir as ir

from graphopt.ir.constants import constant
from passes.simplify_control_flow.site import body_of, given_through

_FIXED = 2  # inputs before the values that it carries: trip count and condition


class Loop(NamedTuple):
    """A Loop whose body and node agree on what is carried and what is stacked.

    Attributes:
        initial: what is carried into the first turn.
        states: the same inside of the body, in each turn.

    """

    node: ir.Node
    body: ir.Graph
    initial: Sequence[ir.Value]
    states: Sequence[ir.Value]

    @property
    def next_states(self) -> Sequence[ir.Value]:
        """What a turn hands to the next one, or to the outputs."""
        return self.body.outputs[1 : 1 + len(self.states)]

    @property
    def scans(self) -> Sequence[ir.Value]:
        """What each turn adds a row of to the outputs behind those of the states."""
        return self.body.outputs[1 + len(self.states) :]

    @property
    def turns(self) -> int | None:
        """How often it turns, or None where that depends on its inputs.

        Where it is given no condition, the specification ignores what the body answers, and onnxruntime
        heeds it. So that is known only where the body says to go on.
        """
        first, limit = self.fixed(1), self.limit
        starts = True if first is None else _number(first)
        if starts is not None and not starts:
            return 0
        if limit is not None and limit <= 0:
            return 0
        goes_on = self._goes_on()
        if not starts or goes_on is None:
            return None
        if goes_on:
            return limit
        return 1 if first is not None and (self.fixed(0) is None or limit is not None) else None

    @property
    def limit(self) -> int | None:
        """The trip count, where it is constant."""
        return _number(self.fixed(0))

    def fixed(self, index: int) -> ir.Value | None:
        """Return the trip count or the first condition, None where it is absent."""
        return self.node.inputs[index] if len(self.node.inputs) > index else None

    def _goes_on(self) -> bool | None:
        """Whether each turn that began asks for another one, or None."""
        answer = given_through(self.body.outputs[0], self.body)
        if answer is self.body.inputs[1]:
            return True
        known = _number(answer)
        return None if known is None else bool(known)


def loop_of(node: ir.Node) -> Loop | None:
    """Return a node as a Loop, or None where its body is not at hand or does not fit it."""
    body = body_of(node, "body")
    initial = [value for value in node.inputs[_FIXED:] if value is not None]
    if body is None or len(body.inputs) != _FIXED + len(initial):
        return None
    if max(_FIXED, len(node.inputs)) != len(body.inputs) or len(body.outputs) != 1 + len(node.outputs):
        return None
    return Loop(node, body, initial, body.inputs[_FIXED:])


def _number(value: ir.Value | None) -> int | None:
    known = constant(value)
    return int(known.item()) if known is not None and known.size == 1 else None
