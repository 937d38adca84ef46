"""Every operator case that onnxruntime runs keeps its answer through the default preset, in each form."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from graphopt.pipeline.presets import DEFAULT_PRESET, PRESETS
from passes import PASSES
from tests.conformance.cases import FORMS, Case, reference
from tests.conformance.judgement import ELSEWHERE, failure
from tests.conformance.node_cases import node_cases

CHUNKS = 8
COMPARABLE = 1_749
"""How many of the cases of onnx 1.23 the reference, onnxruntime 1.31, runs: fewer means that we test less."""

STRIDE = 13
"""Of so many cases one goes through each pass alone; all of them do in `python -m tests.conformance.every_pass`."""

KEPT = dict.fromkeys(
    ("test_if_opt", "test_if_seq", "test_split_to_sequence_1", "test_split_to_sequence_2",
     "test_split_to_sequence_nokeepdims"),
    "its output is a sequence or an optional, which no constant can be",
) | dict.fromkeys(
    ("test_training_dropout", "test_training_dropout_default", "test_training_dropout_default_mask",
     "test_training_dropout_mask"),
    "it is random, though onnxruntime draws the same numbers each time",
)  # fmt: skip
"""Cases of constant tensors alone that keep nodes, by name, with the reason."""


@pytest.fixture(autouse=True)
def every_opset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let onnxruntime load opsets that it knows but whose release it does not guarantee yet."""
    monkeypatch.setenv("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")


def test_the_reference_runs_as_many_cases_as_ever() -> None:
    assert sum(reference(case) is not None for case in node_cases()) >= COMPARABLE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_operator_cases_keep_their_answers(chunk: int, form: str) -> None:
    """Constants are what passes work on; where there is nothing else, nothing else may be left."""
    assert failures(node_cases()[chunk::CHUNKS], form, DEFAULT_PRESET) == {}


@pytest.mark.parametrize("pipeline", [name for name in (*PRESETS, *PASSES) if name not in {DEFAULT_PRESET, *ELSEWHERE}])
def test_each_pass_alone_keeps_the_answers_of_a_sample(pipeline: str) -> None:
    start = [*PRESETS, *PASSES].index(pipeline)
    assert failures(node_cases()[start % STRIDE :: STRIDE], "one input", pipeline) == {}


def failures(cases: Iterable[Case], form: str, pipeline: str) -> dict[str, str]:
    """Return what goes wrong with each case that the reference runs in a form, by name."""
    found: dict[str, str] = {}
    for case in filter(None, map(FORMS[form], cases)):
        answer = reference(case)
        folds = not case.inputs and pipeline == DEFAULT_PRESET and case.name not in KEPT
        why = None if answer is None else failure(case, answer, pipeline, folds=folds)
        if why:
            found[case.name] = why
    return found
