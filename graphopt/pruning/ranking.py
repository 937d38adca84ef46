"""Which channels of each group leave first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphopt.coupling.groups import IntArray
from graphopt.pruning.cost import Widths
from graphopt.pruning.curves import Float64


def orders_of(scores: Mapping[str, Float64]) -> dict[str, IntArray]:
    """Return the channels of each group, the first to leave first; those of equal scores in their order."""
    return {name: np.argsort(found, kind="stable") for name, found in scores.items()}


def removed(orders: Mapping[str, IntArray], widths: Widths) -> dict[str, IntArray]:
    """Return which channels leave groups that are left with so many, in the order of leaving; no group loses none."""
    gone = {name: orders[name][: len(orders[name]) - width] for name, width in widths.items()}
    return {name: numbers for name, numbers in gone.items() if len(numbers)}
