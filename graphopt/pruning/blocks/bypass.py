"""Letting one value stand in for another, and what made the other go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx_ir as ir

from graphopt.errors import PipelineError
from graphopt.ir.dead import erase_unread
from graphopt.ir.edit import replace_value
from graphopt.ir.walk import reads

METADATA_KEY = "graphopt.blocks"
"""Where a model says that blocks of it were removed."""


class Bypass(NamedTuple):
    """A value that is no longer computed, and the one of the same shape that is read in its place, by their names.

    The sum of a residual block and the stream that goes into it, say; or what a layer makes and what it reads.
    """

    output: str
    source: str

    def __str__(self) -> str:
        return f"{self.output!r} is {self.source!r}"


def remove(model: ir.Model, bypasses: Sequence[Bypass]) -> int:
    """Let sources stand in for outputs in the main graph, and take out what nothing reads then; return how many did.

    One whose output went with an earlier one has nothing left to do. A source that went itself is what stood in for it.

    Raises:
        PipelineError: the model has no such value, or a source is computed from its output.

    """
    values = {str(value.name): value for value in model.graph.inputs}
    values |= {str(value.name): value for node in model.graph for value in node.outputs}
    for missing in (name for bypass in bypasses for name in bypass if name not in values):
        raise PipelineError(
            f"there is no value {missing!r} in model {model.graph.name!r} to take out or to read instead"
        )
    stands_in: dict[str, str] = {}
    done = 0
    for output, source in bypasses:
        while source in stands_in:
            source = stands_in[source]  # noqa: PLW2901  # where the chain ends
        old, new = values[output], values[source]
        producer = old.producer()
        if producer is None or producer.graph is None or old is new:
            continue
        if _is_made_from(new, old):
            raise PipelineError(f"{source!r} is computed from {output!r}, so it cannot be read in its place")
        replace_value(old, new)
        erase_unread((old,))
        stands_in[output] = source
        done += 1
    if done:
        model.metadata_props[METADATA_KEY] = str(done)
    return done


def _is_made_from(value: ir.Value, other: ir.Value) -> bool:
    pending, seen = [value], {value}
    while pending:
        producer = pending.pop().producer()
        fresh = {read for read in reads(producer) if read not in seen} if producer is not None else set()
        seen |= fresh
        pending.extend(fresh)
    return other in seen
