"""Which nodes cost the answers most when they are quantized, and which few to spare so that the answers are good.

What a node costs is measured, not estimated: it alone is quantized (as in Wu et al. 2020, "Integer Quantization for
Deep Learning Inference", section 6). The errors of several may add up or cancel out, so that what sparing some of them
gains is measured too. Whoever asks says what "quantized" means, and what the others compute in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

Evaluate = Callable[[frozenset[str]], float]
"""The error of the answers with just these nodes quantized: finite, larger is worse."""


@dataclass(frozen=True)
class Choice:
    """Which nodes to spare.

    Attributes:
        spared: in the order in which they were chosen.
        error: with all others quantized.
        reached: whether that is the target or less.

    """

    spared: tuple[str, ...]
    error: float
    reached: bool


def costs_alone(
    nodes: Collection[str], evaluate: Evaluate, on_node: Callable[[int], None] | None = None
) -> dict[str, float]:
    """Return the error of the answers with each node alone quantized; `on_node` is told how many are done."""
    costs: dict[str, float] = {}
    for node in nodes:
        costs[node] = evaluate(frozenset({node}))
        if on_node:
            on_node(len(costs))
    return costs


def spare_few(ranking: Collection[str], evaluate: Evaluate, target: float, most: int | None = None) -> Choice:
    """Return few nodes to spare so that the error is at most `target`, those ranked first before others.

    How many of the first have to be is found by bisection, as if sparing more never made it worse; then each of them
    that turns out not to be needed is quantized again, the least costly first. That is about log₂ n + k evaluations.

    Args:
        ranking: all nodes that can be quantized, the most costly first (`costs_alone`).
        evaluate: see `Evaluate`.
        target: the largest error allowed.
        most: how many may be spared; all by default. Where they do not reach the target, the choice says so.

    """
    order = list(ranking)
    every, most = frozenset(order), len(order) if most is None else min(most, len(order))
    errors: dict[int, float] = {}

    def error(count: int) -> float:
        if count not in errors:
            errors[count] = evaluate(every - set(order[:count]))
        return errors[count]

    if error(0) <= target:
        return Choice((), error(0), reached=True)
    if error(most) > target:
        best = min(errors, key=lambda count: (errors[count], count))
        return Choice(tuple(order[:best]), errors[best], reached=False)
    low, high = 0, most  # error(low) is above the target, error(high) is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if error(middle) <= target else (middle, high)
    return _without_needless(order[:high], every, evaluate, target, error(high))


def _without_needless(
    spared: list[str], every: frozenset[str], evaluate: Evaluate, target: float, error: float
) -> Choice:
    for node in reversed(spared[:-1]):  # without the last the target was missed
        fewer = [other for other in spared if other != node]
        found = evaluate(every - set(fewer))
        if found <= target:
            spared, error = fewer, found
    return Choice(tuple(spared), error, reached=True)
