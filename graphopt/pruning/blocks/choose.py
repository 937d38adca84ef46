"""Which blocks leave a network, one after the other, each the cheapest for the answers at its turn.

Blocks lie in each other, and what one costs depends on which have left; so errors do not add up, and are measured with
those that have left. A block that was dear stays dear: it is measured again only when its last price is the lowest
(M. Minoux: Accelerated greedy algorithms for maximizing submodular set functions, 1978).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.pruning.blocks.bypass import Bypass, remove
from graphopt.pruning.blocks.find import Cost

Error = Callable[[ir.Model], float]
"""The mean square error of the answers of a changed model."""


@dataclass(frozen=True)
class Removed:
    """A block that leaves.

    Attributes:
        bypass: what is no longer computed, and what is read instead.
        saved: what it costs less, those before it gone.
        error: the mean square error of the answers behind it, relative to their mean square.

    """

    bypass: Bypass
    saved: int
    error: float


@dataclass(frozen=True)
class Network:
    """What is shortened.

    Attributes:
        model: as it runs.
        static: the same with static shapes, in which all can be counted.
        cost: of the latter.
        error: of the answers of the former, changed.

    """

    model: ir.Model
    static: ir.Model
    cost: Cost
    error: Error

    def cost_without(self, bypasses: Sequence[Bypass]) -> int:
        """Return what it costs without blocks."""
        return self.cost(_without(self.static, bypasses))

    def error_without(self, bypasses: Sequence[Bypass]) -> float:
        """Return how far its answers are off without blocks."""
        return self.error(_without(self.model, bypasses))


def choose(
    network: Network, found: Sequence[Bypass], limit: float, on_trial: Callable[[int], None] = lambda _: None
) -> list[Removed]:
    """Return the blocks to remove in order, until a limit is met or none is left that saves something.

    Args:
        network: what is shortened.
        found: what could be left out.
        limit: of the cost.
        on_trial: told how many were tried.

    """
    spent, error = network.cost(network.static), 0.0
    chosen: list[Removed] = []
    waiting = [(float("-inf"), number) for number in range(len(found))]
    tried = 0
    while waiting and spent > limit:
        _, number = heapq.heappop(waiting)
        bypasses = [*(one.bypass for one in chosen), found[number]]
        cost = network.cost_without(bypasses)
        tried += 1
        on_trial(tried)
        if cost >= spent:
            continue  # it went with another
        behind = network.error_without(bypasses)
        price = (behind - error) / (spent - cost)
        if waiting and price > waiting[0][0]:
            heapq.heappush(waiting, (price, number))
            continue
        chosen.append(Removed(found[number], spent - cost, behind))
        spent, error = cost, behind
    return chosen


def _without(model: ir.Model, bypasses: Sequence[Bypass]) -> ir.Model:
    shorter = model.clone()
    remove(shorter, bypasses)
    return shorter
