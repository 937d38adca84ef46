"""The slow forms of other tools: their causes are named, and they are mended with the same integers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.ir.constants import constant
from graphopt.ir.load import load
from graphopt.ir.walk import is_op
from graphopt.quantization.doctor import diagnose, treat
from graphopt.quantization.doctor.quantizers import is_dequantize
from graphopt.tensors import Array
from tests.onnxruntime_graph import in_integers
from tests.slow_forms import FORMS, slow
from tests.test_doctor import error, run, samples

CAUSES = {
    "nncf": {"scales per channel", "result per channel", "shared int8"},
    "nncf-unfolded": {"normalization"},
    "modelopt": {"kept clamp", "float output", "shared int8"},
    "quark": {"odd bias", "kept clamp", "shared int8"},
}
RUNNING = {"nncf": 3, "nncf-unfolded": 3, "modelopt": 2, "quark": 3}
"""How many of the three convolutions can run in integers with the numbers that the form has."""


def weights(model: ir.Model) -> list[Array]:
    """Return the integers that convolutions and matrix products multiply with, in order."""
    found = []
    for node in model.graph:
        weight = node.inputs[1].producer() if is_op(node, "Conv", "Gemm") and node.inputs[1] is not None else None
        array = constant(weight.inputs[0]) if weight is not None and is_dequantize(weight) else None
        found.extend([] if array is None else [array])
    return found


@pytest.mark.parametrize("form", FORMS)
def test_the_causes_of_a_slow_form_are_named(form: str) -> None:
    found = diagnose(slow(form)).findings
    named = {finding.causes[0].name for finding in found if finding.op_type == "Conv" and finding.causes}
    assert named <= CAUSES[form]
    assert named
    assert all(finding.causes[0].why for finding in found if finding.causes)


@pytest.mark.parametrize("form", FORMS)
def test_a_slow_form_is_mended(form: str) -> None:
    before = slow(form)
    treatment = treat(before)
    fused, floats = in_integers(ir.to_proto(treatment.model))
    assert in_integers(before)[0]["Conv"] < RUNNING[form]
    assert fused["Conv"] == RUNNING[form]
    assert treatment.after.counts()["convolutions"] == (RUNNING[form], 3)
    if form != "modelopt":
        assert not floats


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("optimize", [False, True])
def test_a_mended_form_answers_the_same(form: str, optimize: bool) -> None:
    before, treatment = slow(form), treat(slow(form))
    for seed in range(4):
        x = samples((1, 8, 8, 8), seed)
        ((expected,), (actual,)) = run(before, x), run(treatment.model, x, optimize=optimize)
        assert error(expected, actual) < 0.02


@pytest.mark.parametrize("form", ["nncf", "quark"])
def test_the_integers_of_weights_stay(form: str) -> None:
    source = load(slow(form))
    for old, new in zip(weights(source), weights(treat(source).model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_sign_of_a_factor_goes_to_the_integers() -> None:
    source = load(slow("nncf-unfolded"))
    for old, new in zip(weights(source), weights(treat(source).model), strict=True):
        np.testing.assert_array_equal(np.abs(old.astype(int)), np.abs(new.astype(int)))


@pytest.mark.parametrize("form", FORMS)
def test_mending_is_done_once(form: str) -> None:
    first = treat(slow(form))
    second = treat(first.model)
    assert second.before.to_dict()["counts"] == second.after.to_dict()["counts"]
    x = samples((1, 8, 8, 8))
    assert error(*run(first.model, x), *run(second.model, x)) < 1e-3
