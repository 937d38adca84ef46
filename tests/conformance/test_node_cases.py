"""Every operator case that onnxruntime runs keeps its answer through the default preset."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.errors import GraphoptError, ModelError
from graphopt.ir.verify import verify
from tests.conformance.node_cases import NodeCase, disagreement, fix_inputs, node_cases, reference, reference_of, run

CHUNKS = 8
COMPARABLE = 1_749
"""How many of the cases of onnx 1.23 the reference, onnxruntime 1.31, runs: fewer means that we test less."""

EXCEPTIONS = dict.fromkeys(
    ("test_not_2d", "test_not_3d", "test_not_4d"), "written for opset 1; graphopt takes 7 and newer"
)
"""Cases that are not asked to pass, by name, with the reason."""


@pytest.fixture(autouse=True)
def every_opset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let onnxruntime load opsets that it knows but whose release it does not guarantee yet."""
    monkeypatch.setenv("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")


def test_the_reference_runs_as_many_cases_as_ever() -> None:
    assert sum(reference(case) is not None for case in node_cases()) >= COMPARABLE


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_operator_cases_keep_their_answers(chunk: int) -> None:
    assert failures(node_cases()[chunk::CHUNKS]) == {}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_operator_cases_with_one_input_keep_their_answers(chunk: int) -> None:
    """Constants are what passes work on, so everything but the first input is made one."""
    fixed = (fix_inputs(case, kept=1) for case in node_cases()[chunk::CHUNKS])
    assert failures([case for case in fixed if case]) == {}


def failures(cases: list[NodeCase] | tuple[NodeCase, ...]) -> dict[str, str]:
    """Return what goes wrong with each case that the reference runs, by name."""
    found = {case.name: failure(case) for case in cases if case.name not in EXCEPTIONS}
    return {name: why for name, why in found.items() if why}


def failure(case: NodeCase) -> str | None:
    """Optimize a case, check the result, and say what is wrong with it, or return None."""
    expected = reference(case)
    if expected is None:
        return None
    try:
        optimized, _ = graphopt.optimize(case.model)
        verify(optimized)
    except GraphoptError as error:
        return f"{type(error).__name__}: {error}"
    proto = ir.to_proto(optimized)
    try:
        onnx.checker.check_model(proto)
        session = reference_of(proto)
    except (onnx.checker.ValidationError, ModelError) as error:
        return f"became invalid: {error}"
    interface, original = names(session), names(reference_of(case.model))
    if interface != original:
        return f"has the inputs and outputs {interface} now"
    return disagreement(expected, run(session, case.inputs))


def names(session: Session) -> tuple[list[str], list[str]]:
    """Return the names of inputs and outputs, in order."""
    return [spec.name for spec in session.inputs], [spec.name for spec in session.outputs]
