"""Whatever the network: without some channels it answers as with them silenced."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import random_feeds
from graphopt.ir.text.parser import parse_model
from tests.coupling.agreement import check_agreement
from tests.coupling.random_networks import networks


@settings(max_examples=150, deadline=None, derandomize=True)
@given(networks(), st.integers(0, 9))
def test_shrinking_is_masking(text: str, seed: int) -> None:
    model = parse_model(text, seed=seed)
    check_agreement(model, random_feeds(model, seed=seed), seed=seed)
