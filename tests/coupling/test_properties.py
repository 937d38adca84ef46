"""Whatever the network: without some channels it answers as with them silenced."""

from __future__ import annotations

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.errors import ModelError, RunError
from graphopt.ir.load import load
from graphopt.ir.text.parser import parse_model
from tests.coupling.agreement import check_agreement
from tests.coupling.random_networks import networks
from tests.properties.random_graphs import RandomModel, quick_random_graphs


@settings(max_examples=150, deadline=None, derandomize=True)
@given(networks(), st.integers(0, 9), st.sampled_from([0.3, 0.6, 0.99]))
def test_shrinking_is_masking(text: str, seed: int, share: float) -> None:
    model = parse_model(text, seed=seed)
    check_agreement(model, random_feeds(model, seed=seed), seed=seed, share=share)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(quick_random_graphs(), st.integers(0, 9))
def test_shrinking_is_masking_in_graphs_of_all_operators(random: RandomModel, seed: int) -> None:
    model = load(random.proto)
    feeds = random_feeds(model, seed=seed, shapes=random.shapes[0])
    try:
        evaluate(model, feeds, threads=1)
    except (ModelError, RunError):
        reject()  # onnxruntime lacks a kernel for one of its types
    check_agreement(model, feeds, seed=seed)
