"""The default preset and the comparison of models are linear in nodes.

Counted in function calls, which no other load on the machine changes.
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable

import onnx_ir as ir
import pytest

import graphopt
from tests.benchmarks.scaling import chain

NODES = 400


def calls(work: Callable[..., object], *models: ir.Model) -> int:
    """Return how many function calls it takes to do something with models."""
    profile = cProfile.Profile()
    profile.runcall(work, *models)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # documented, but typeshed lacks it


def test_three_times_the_nodes_are_three_times_the_work() -> None:
    calls(graphopt.optimize, chain(NODES))  # what happens on first use only
    assert calls(graphopt.optimize, chain(3 * NODES)) < 3.3 * calls(graphopt.optimize, chain(NODES))


@pytest.mark.parametrize(
    "other", [lambda nodes: chain(nodes, seed=1), lambda nodes: graphopt.optimize(chain(nodes))[0]]
)
def test_so_it_is_for_the_comparison_with_other_weights_and_with_fewer_nodes(other: Callable[[int], ir.Model]) -> None:
    pairs = [(chain(nodes), other(nodes)) for nodes in (NODES, NODES, 3 * NODES)]
    _, few, many = (calls(graphopt.diff, *pair) for pair in pairs)
    assert many < 3.3 * few
