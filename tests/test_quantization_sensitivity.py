from __future__ import annotations

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.quantization.sensitivity import Evaluate, costs_alone, spare_few

COSTS = {"stem": 3.0, "depthwise": 9.0, "body": 1.0, "head": 4.0, "tail": 0.0}


def independent(costs: dict[str, float], asked: list[frozenset[str]] | None = None) -> Evaluate:
    """Return an evaluation in which the errors of nodes are orthogonal."""

    def evaluate(quantized: frozenset[str]) -> float:
        if asked is not None:
            asked.append(quantized)
        return math.sqrt(sum(costs[node] ** 2 for node in quantized))

    return evaluate


def ranked(costs: dict[str, float], evaluate: Evaluate) -> list[str]:
    found = costs_alone(costs, evaluate)
    return sorted(found, key=lambda node: -found[node])


def test_each_node_is_measured_alone() -> None:
    asked: list[frozenset[str]] = []
    done: list[int] = []
    assert costs_alone(COSTS, independent(COSTS, asked), done.append) == COSTS
    assert asked == [frozenset({node}) for node in COSTS]
    assert done == [1, 2, 3, 4, 5]


def test_as_few_are_spared_as_the_target_needs() -> None:
    order = ranked(COSTS, independent(COSTS))
    assert spare_few(order, independent(COSTS), 11).spared == ()
    assert spare_few(order, independent(COSTS), 5.5).spared == ("depthwise",)
    assert spare_few(order, independent(COSTS), 3.5).spared == ("depthwise", "head")
    assert spare_few(order, independent(COSTS), 0).spared == ("depthwise", "head", "stem", "body")
    found = spare_few(order, independent(COSTS), 3.5)
    assert (found.reached, found.error) == (True, math.sqrt(10))


def test_a_node_that_was_ranked_high_for_nothing_is_quantized_again() -> None:
    order = ["body", "depthwise", "tail", "head", "stem"]
    assert spare_few(order, independent(COSTS), 5.5).spared == ("depthwise",)


def test_a_target_out_of_reach_gets_the_best_there_is() -> None:
    order = ["depthwise", "head", "stem", "body", "tail"]
    found = spare_few(order, independent(COSTS), 2, most=2)
    assert (found.spared, found.reached) == (("depthwise", "head"), False)
    assert spare_few([], independent({}), 1).reached
    cancelling = spare_few(["a"], lambda quantized: 2.0 if quantized else 3.0, 1)
    assert (cancelling.spared, cancelling.error, cancelling.reached) == ((), 2, False)


@settings(max_examples=60, deadline=None)
@given(costs=st.lists(st.integers(0, 9), min_size=1, max_size=8), share=st.floats(0, 1.1))
def test_with_independent_errors_no_smaller_set_reaches_the_target(costs: list[int], share: float) -> None:
    named = {f"n{index}": float(cost) for index, cost in enumerate(costs)}
    asked: list[frozenset[str]] = []
    evaluate = independent(named, asked)
    order = ranked(named, evaluate)
    target = share * evaluate(frozenset(named))
    asked.clear()
    found = spare_few(order, evaluate, target)
    assert len(asked) <= 2 + math.ceil(math.log2(len(costs) + 1)) + len(found.spared)
    assert found.reached
    assert found.error == evaluate(frozenset(named) - set(found.spared)) <= target
    for fewer in itertools.combinations(named, max(len(found.spared) - 1, 0)):
        assert not found.spared or evaluate(frozenset(named) - set(fewer)) > target
