"""What is known of a model at each stage of a compression, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphopt.cli.summary import quantity

if TYPE_CHECKING:
    from graphopt.pruning.report import State


def rows(states: Sequence[State | None]) -> list[tuple[str, ...]]:
    """Return a row for each thing that is known of some stage."""
    shown: dict[str, Any] = {
        "multiply-adds": lambda state: quantity(state.macs),
        "parameters": lambda state: quantity(state.parameters),
        "bytes": lambda state: quantity(state.bytes, "B"),
        "latency": lambda state: f"{state.latency:.3f} ms" if state.latency is not None else "",
        "same answer": lambda state: _share(state.fidelity.agreement if state.fidelity else None),
        "error of outputs": lambda state: f"{state.fidelity.error:.3g}" if state.fidelity else "",
        "accuracy": lambda state: _share(state.accuracy),
    }
    cells = [(name, *("" if state is None else cell(state) for state in states)) for name, cell in shown.items()]
    return [row for row in cells if any(row[1:])]


def closing_line(
    before: State, after: State, seconds: Mapping[str, float], *, first: Sequence[str] = (), then: Sequence[str] = ()
) -> str:
    """Say what a compression cost and gained: what is its own `first`, or after the sizes, `then`."""
    parts = [
        *first,
        f"{quantity(before.macs)} → {quantity(after.macs)} multiply-adds",
        f"{quantity(before.bytes, 'B')} → {quantity(after.bytes, 'B')}",
        *then,
    ]
    if after.fidelity is not None:
        parts.append(f"{after.fidelity} on {after.fidelity.samples} samples that nothing was fitted to")
    return ", ".join([*parts, f"{sum(seconds.values()):.1f} s"])


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
