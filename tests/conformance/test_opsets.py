"""Every operator case that onnxruntime runs keeps its answer in another opset, or is refused with a reason."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from graphopt.errors import ModelError
from graphopt.ir.load import load
from graphopt.ir.operators import OLDEST_OPSET
from graphopt.ir.opset import convert_opset
from tests.conformance.cases import Case, disagreement, reference, reference_of, run
from tests.conformance.node_cases import node_cases

CHUNKS = 4
NEWEST_RUN = 27
"""The newest opset that onnxruntime 1.31 loads."""
REFUSED = 20
"""The most cases of the way up that may be refused: the Attention that returns its products, a Scan of opset 8."""
NOT_RUN = "Could not find an implementation"


@pytest.fixture(autouse=True)
def every_opset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let onnxruntime load opsets that it knows but whose release it does not guarantee yet."""
    monkeypatch.setenv("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_up(chunk: int) -> None:
    results = [result(case, NEWEST_RUN) for case in cases(chunk) if opset(case) < NEWEST_RUN]
    assert [one for one in results if one not in {"", "refused", "not run"}] == []
    assert results.count("refused") <= REFUSED
    assert results.count("") > 300


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_down(chunk: int) -> None:
    results = [result(case, 17) for case in cases(chunk) if opset(case) > 17]
    assert [one for one in results if one not in {"", "refused", "not run"}] == []
    assert results.count("") > 100


def cases(chunk: int) -> list[Case]:
    return [case for case in node_cases()[chunk::CHUNKS] if opset(case) >= OLDEST_OPSET]


def opset(case: Case) -> int:
    return next((item.version for item in case.model.opset_import if item.domain == ""), 0)


def result(case: Case, version: int) -> str:
    """Return "" for equal answers, "refused", or what is wrong."""
    expected = reference(case)
    if expected is None:
        return "not run"
    model = load(case.model)
    try:
        convert_opset(model, version)
    except ModelError:
        return "refused"
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    try:
        found = disagreement(expected, run(reference_of(proto), case.inputs))
    except ModelError as error:  # an operator may be newer than its kernel
        found = "" if NOT_RUN in str(error) else str(error)
    return f"{case.name}: {found}" if found else ""
