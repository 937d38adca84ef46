"""Every rule of the doctor for onnxruntime is tried: what it says of a graph is what onnxruntime makes of it.

A version of onnxruntime that decides otherwise fails here, and names the rule.
"""

from __future__ import annotations

from collections import Counter

import onnx
import pytest
from hypothesis import HealthCheck, given, settings

from graphopt.ir.load import load
from graphopt.quantization.doctor import Diagnosis, Verdict, diagnose
from graphopt.quantization.doctor.x64 import X64
from tests.doctor_cases import BROKEN, FUSED, WRONG, Built, networks
from tests.onnxruntime_graph import in_integers, optimized
from tests.quantized_graphs import Graph

BREAKING = [(rule, op, built) for rule, several in BROKEN.items() for op, built in several]


def told(diagnosis: Diagnosis) -> tuple[Counter[str], Counter[str]]:
    """Count the operators that are said to compute in integers, and those that are not."""
    fused = Counter(found.op_type for found in diagnosis.findings if found.verdict in {Verdict.INTEGER, Verdict.WRONG})
    floats = Counter(found.op_type for found in diagnosis.findings if found.verdict is Verdict.FLOAT)
    return fused, floats


def agree(graph: Graph, *outputs: str) -> Diagnosis:
    """Check that the doctor and onnxruntime say the same of a graph."""
    proto = graph.typed(*outputs)
    diagnosis = diagnose(load(proto))
    fused, _ = in_integers(proto)
    assert told(diagnosis)[0] == fused, diagnosis.summary()
    return diagnosis


@pytest.mark.parametrize("name", FUSED)
def test_what_breaks_no_rule_runs_in_integers(name: str) -> None:
    diagnosis = agree(*FUSED[name])
    subject = [found for found in diagnosis.findings if found.op_type != "Abs"]
    assert all(found.verdict in {Verdict.INTEGER, Verdict.ABSORBED} for found in subject), diagnosis.to_dict()


@pytest.mark.parametrize(("rule", "op", "built"), BREAKING, ids=[f"{rule}: {op}" for rule, op, _ in BREAKING])
def test_what_breaks_a_rule_does_not(rule: str, op: str, built: Built) -> None:
    diagnosis = agree(*built)
    (found, *_) = [found for found in diagnosis.findings if found.op_type == op]
    assert found.verdict is Verdict.FLOAT
    assert found.causes[0].name == rule


@pytest.mark.parametrize("rule", WRONG)
def test_what_runs_wrongly_is_said_to(rule: str) -> None:
    for op, built in WRONG[rule]:
        diagnosis = agree(*built)
        (found,) = [found for found in diagnosis.findings if found.op_type == op]
        assert found.verdict is Verdict.WRONG
        assert [cause.name for cause in found.causes] == [rule]


def test_every_rule_is_tried() -> None:
    assert {rule.name for rule in X64.rules} == BROKEN.keys() | WRONG.keys()


def test_below_level_two_nothing_runs_in_integers() -> None:
    graph, *outputs = FUSED["conv"]
    ops = {node.op_type for node in optimized(graph.typed(*outputs), "ORT_ENABLE_BASIC").node}
    assert "Conv" in ops
    assert "QLinearConv" not in ops


@given(networks())
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_of_any_network_the_doctor_says_what_onnxruntime_does(drawn: tuple[Graph, list[str]]) -> None:
    graph, outputs = drawn
    proto = graph.typed(*outputs)
    if any(node.op_type == "QuantizeLinear" for node in proto.graph.node):
        fused, _ = in_integers(proto)
        found = told(diagnose(load(proto)))[0]
        for op in ("Conv", "Add", "AveragePool", "MaxPool"):
            assert found[op] == fused[op], f"{op}\n{onnx.printer.to_text(proto.graph)}"
