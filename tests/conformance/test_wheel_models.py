"""The models of the onnx wheel, most of them of opset 6, give the answers that come with them."""

from __future__ import annotations

import pytest

from graphopt.pipeline.presets import DEFAULT_PRESET, PRESETS
from tests.conformance.cases import FORMS
from tests.conformance.judgement import failure
from tests.conformance.wheel_models import wheel_models

NOT_RUN = dict.fromkeys(
    ("test_strnorm_model_monday_casesensintive_lower", "test_strnorm_model_monday_casesensintive_upper",
     "test_strnorm_model_monday_empty_output", "test_strnorm_model_monday_insensintive_upper_twodim"),
    "StringNormalizer needs the locale en_US",
) | dict.fromkeys(("test_gradient_of_add", "test_gradient_of_add_and_mul"), "onnxruntime has no Gradient")  # fmt: skip
"""Models that are optimized and checked, but not run, by name, with the reason."""


def test_there_are_as_many_as_ever() -> None:
    assert len(wheel_models()) == 140


@pytest.mark.parametrize("pipeline", PRESETS)
@pytest.mark.parametrize("form", FORMS)
def test_models_give_the_answers_that_come_with_them(form: str, pipeline: str) -> None:
    found: dict[str, str] = {}
    for case in filter(None, map(FORMS[form], wheel_models())):
        runs = case.name not in NOT_RUN
        folds = runs and not case.inputs and pipeline == DEFAULT_PRESET
        why = failure(case, case.answer if runs else None, pipeline, folds=folds)
        if why:
            found[case.name] = why
    assert found == {}
