"""The default preset is linear in nodes: counted in function calls, which no other load on the machine changes."""

from __future__ import annotations

import cProfile
import pstats

import graphopt
from tests.benchmarks.scaling import chain

NODES = 400


def calls(nodes: int) -> int:
    """Return how many function calls it takes to optimize a chain of that many nodes."""
    model = chain(nodes)
    profile = cProfile.Profile()
    profile.runcall(graphopt.optimize, model)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # documented, but typeshed lacks it


def test_three_times_the_nodes_are_three_times_the_work() -> None:
    calls(NODES)  # what happens on first use only
    assert calls(3 * NODES) < 3.3 * calls(NODES)
