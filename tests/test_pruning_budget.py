"""Budgets as a person writes them."""

from __future__ import annotations

import pytest

from graphopt.errors import PipelineError
from graphopt.pruning.budget import Amount, Measure, one_budget, parse_budget


@pytest.mark.parametrize(
    ("measure", "amount", "limit"),
    [
        (Measure.MACS, "-40%", 600),
        (Measure.MACS, "−40%", 600),  # as a text editor makes of it
        (Measure.MACS, " 60% ", 600),
        (Measure.MACS, -0.4, 600),
        (Measure.FLOPS, 0.6, 600),
        (Measure.FLOPS, "-.4", 600),
        (Measure.PARAMS, 250, 250),
        (Measure.PARAMS, "0.5k", 500),
        (Measure.BYTES, "0.5kB", 500),
        (Measure.BYTES, "12.5%", 125),
        (Measure.LATENCY, "800us", 0.8),
        (Measure.LATENCY, "5ms", 5),
        (Measure.LATENCY, "0.25s", 250),
    ],
)
def test_what_is_allowed_of_a_thousand(measure: Measure, amount: Amount, limit: float) -> None:
    assert parse_budget(measure, amount).limit(1000) == pytest.approx(limit)


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("forty", "macs=forty is no budget; write -40%"),
        ("-40", "macs=-40 leaves nothing"),
        ("-100%", "leaves nothing"),
        ("100%", "leaves no less than there is"),
        ("+10%", "leaves no less than there is"),
        ("5MB", "is no budget; write -40% for so much less, 60% for what stays, or an amount in k, M, G, T"),
        ("-40k", "is no budget"),
        ("0k", "is no budget"),
        (0, "leaves nothing"),
    ],
)
def test_what_is_no_budget(amount: Amount, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        parse_budget(Measure.MACS, amount)


def test_a_model_that_costs_no_more_already() -> None:
    with pytest.raises(PipelineError, match="params=2k asks for no less than the model's 1000"):
        parse_budget(Measure.PARAMS, "2k").limit(1000)


def test_one_measure_at_a_time() -> None:
    assert str(one_budget({Measure.MACS: None, Measure.PARAMS: "50%"})) == "params=50%"
    with pytest.raises(PipelineError, match="nothing is to become less; say it of one of macs, params"):
        one_budget({Measure.MACS: None, Measure.PARAMS: ""})
    with pytest.raises(PipelineError, match="macs and params are to become less"):
        one_budget({Measure.MACS: "-10%", Measure.PARAMS: "-10%"})
