"""What fold-constants computes by numpy is what onnxruntime computes, bit by bit."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.ir.load import load
from passes.fold_constants.exact import OPERATORS, exact_result
from tests.conformance.cases import fix_inputs, reference
from tests.conformance.node_cases import node_cases

FEWEST = 80
"""Cases that must have an exact result, of the 100 or so that ONNX has of these operators."""

STEPS = [(-1, -100, -1), (5, -4, -2), (0, 100, 2), (-3, -1, 1), (100, -100, -3), (-100, 100, 1), (2, 2, 1)]


def test_cases_of_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")
    compared = 0
    for case in node_cases():
        nodes = case.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in OPERATORS:
            continue
        fixed, expected = fix_inputs(case, kept=0), reference(case)
        if fixed is None or fixed.model.graph.input or expected is None:
            continue
        model = load(fixed.model)
        result = exact_result(model.graph[0], {})
        if result is None:
            continue
        answer = expected[str(model.graph.outputs[0].name)]
        assert result.numpy().dtype == answer.dtype, case.name
        np.testing.assert_array_equal(result.numpy().view(np.uint8), answer.view(np.uint8), err_msg=case.name)
        compared += 1
    assert compared >= FEWEST


@pytest.mark.parametrize(("start", "end", "step"), STEPS)
@pytest.mark.parametrize("size", [0, 1, 5])
def test_bounds_of_slices(start: int, end: int, step: int, size: int) -> None:
    inputs = [ir.Value(name=name, const_value=ir.tensor(np.array(data))) for name, data in (
        ("x", np.arange(size)), ("s", [start]), ("e", [end]), ("a", [0]), ("t", [step]),
    )]  # fmt: skip
    graph = ir.Graph([], [], nodes=[ir.Node("", "Slice", inputs)], initializers=inputs, opset_imports={"": 17})
    output = graph[0].outputs[0]
    output.name = "y"
    graph.outputs.append(output)
    output.type, output.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([None])
    from graphopt.backends.ort.reference import evaluate

    expected = evaluate(ir.Model(graph, ir_version=8), {})["y"]
    result = exact_result(graph[0], {})
    assert result is None or result.numpy().tolist() == expected.tolist()
