"""Who gives how many channels: against all that could be given, where that can be gone through."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphopt.pruning.allot import Choice, allot
from graphopt.pruning.budget import Measure
from graphopt.pruning.cost import Cost, Share, Size, Term
from graphopt.pruning.curves import Curve, by_scores, widths_to_measure
from graphopt.pruning.width import Snap, snaps_to_try
from graphopt.targets import host

CHANNELS = 8
WIDTHS = (8, 6, 4, 2)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Cost, dict[str, Choice]]:
    """Draw layers one after the other, each between two groups, and what narrower groups cost the answers."""
    names = [f"group{index}" for index in range(draw(st.integers(1, 4)))]
    places = draw(st.lists(st.integers(1, 50), min_size=len(names) + 1, max_size=len(names) + 1))
    sizes = [Size(3), *(Size(0, (Share(name, CHANNELS, 1),)) for name in names), Size(10)]
    terms = {
        f"layer{index}": Term(times, tuple(size for size in pair if size.shares))
        for index, (times, pair) in enumerate(zip(places, itertools.pairwise(sizes), strict=True))
    }
    errors = st.lists(st.floats(0, 1), min_size=3, max_size=3)
    curves = {name: Curve.of(CHANNELS, dict(zip(WIDTHS[1:], sorted(draw(errors)), strict=True))) for name in names}
    return Cost(Measure.MACS, terms, 7), {name: Choice(WIDTHS, curve) for name, curve in curves.items()}


def total(choices: Mapping[str, Choice], chosen: Mapping[str, int]) -> float:
    return sum(choice.curve(chosen[name]) for name, choice in choices.items())


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.floats(0.05, 0.99))
def test_the_budget_is_met_or_cannot_be(problem: tuple[Cost, dict[str, Choice]], share: float) -> None:
    cost, choices = problem
    limit = share * cost.whole
    found = allot(cost, limit, choices)
    every = [dict(zip(choices, several, strict=True)) for several in itertools.product(WIDTHS, repeat=len(choices))]
    affordable = [one for one in every if cost(one) <= limit]
    assert (found is None) == (not affordable)
    if found is not None:
        assert cost(found) <= limit
        assert all(width in WIDTHS for width in found.values())
        for name, width in found.items():  # nothing that helps could be given back
            wider = [{**found, name: other} for other in WIDTHS if other > width]
            assert all(cost(one) > limit for one in wider)
        best = min(total(choices, one) for one in affordable)
        assert best <= total(choices, found) + 1e-9


def test_the_group_that_the_answers_need_least_gives_first() -> None:
    terms = {name: Term(10, (Size(0, (Share(name, CHANNELS, 1),)),)) for name in ("dear", "cheap")}
    cost = Cost(Measure.PARAMS, terms, 0)
    curves = {"dear": {6: 0.5, 4: 0.6, 2: 0.7}, "cheap": {6: 0.01, 4: 0.02, 2: 0.03}}
    choices = {name: Choice(WIDTHS, Curve.of(CHANNELS, curve)) for name, curve in curves.items()}
    assert allot(cost, 130, choices) == {"dear": 8, "cheap": 4}
    assert allot(cost, 90, choices) == {"dear": 6, "cheap": 2}


def test_a_step_over_a_bump_is_seen() -> None:
    """Two channels cost as much as six: whoever goes step by step takes another group."""
    terms = {name: Term(10, (Size(0, (Share(name, CHANNELS, 1),)),)) for name in ("bump", "line")}
    curves = {"bump": {6: 0.2, 4: 0.2, 2: 0.2}, "line": {6: 0.1, 4: 0.2, 2: 0.3}}
    choices = {name: Choice(WIDTHS, Curve.of(CHANNELS, curve)) for name, curve in curves.items()}
    assert allot(Cost(Measure.PARAMS, terms, 0), 100, choices) == {"bump": 2, "line": 8}


def test_a_change_is_what_the_whole_count_says() -> None:
    pair = (Size(1, (Share("a", 8, 2),)), Size(0, (Share("a", 8, 1), Share("b", 8, 1))))
    cost = Cost(Measure.MACS, {"mixed": Term(3, pair), "single": Term(5, pair[:1])}, 11)
    base = {"a": 6, "b": 4}
    for group, width in itertools.product("ab", range(1, 9)):
        assert cost(base) + cost.change(base, group, width) == cost({**base, group: width})
    assert cost.beside("b") == {"a", "b"}


def test_curves_rise_towards_fewer_channels() -> None:
    curve = Curve.of(16, {12: 0.1, 8: 0.05, 4: 0.5})
    assert curve.errors == (0.5, 0.1, 0.1, 0.0)
    assert curve(16) == 0
    assert curve(14) == 0.1
    assert 0.1 < curve(6) < 0.3
    assert curve(2) > curve(4)
    scores = by_scores(np.array([4.0, 1.0, 2.0, 1.0]), (4, 3, 2, 1))
    assert np.allclose([scores(width) for width in (3, 2, 1)], -np.log([7 / 8, 6 / 8, 4 / 8]))
    assert np.isfinite(by_scores(np.zeros(4), (4, 2)).errors).all()


def test_widths_are_multiples() -> None:
    assert Snap(16, 16).widths(40) == (40, 32, 16)
    assert Snap(16, 16).widths(32) == (32, 16)
    assert Snap(16, 16).widths(16) == (16,)
    assert Snap(16, 16).widths(10) == (10,)
    assert Snap(1, 1).widths(3) == (3, 2, 1)
    assert widths_to_measure((64, 48, 32, 16), 2) == (48, 16)
    assert widths_to_measure(tuple(range(17, 0, -1)), 3) == (16, 13, 1)
    assert widths_to_measure((16,), 4) == ()
    assert [Snap(16, 4).of(channels) for channels in (64, 63, 32, 31, 16, 3)] == [16, 8, 8, 4, 4, 4]
    assert str(Snap(16, 4)) == "16 or 8 or 4"
    tried = snaps_to_try(None, host())
    assert tried[0] == Snap(host().lanes(32), host().lanes(32))
    assert tried[-1] == Snap(1, 1)
    assert snaps_to_try(24, host()) == (Snap(24, 24),)
