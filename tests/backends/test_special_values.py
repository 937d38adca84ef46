"""NaN, infinities, zeros, the smallest and the largest numbers: native code makes of them what onnxruntime does."""

from __future__ import annotations

import numpy as np
import pytest

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.ir.text.parser import parse_model
from graphopt.tensors import Array

FLOAT = np.finfo(np.float32)
SPECIAL = np.array(
    [
        *(np.nan, np.inf, -np.inf, -0.0, 0.0, FLOAT.smallest_subnormal, -FLOAT.smallest_subnormal),
        *(FLOAT.max, FLOAT.min, 1, -1, 0.5, 2.5, -2.5, 100, -100),
    ],
    np.float32,
)
SIZE = len(SPECIAL)

UNARY = """
Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu Hardmax HardSigmoid HardSwish Identity
LeakyRelu Log LogSoftmax Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt
Tan Tanh ThresholdedRelu
""".split()
BINARY = "Add Div Max Min Mul PRelu Pow Sub Sum".split()
COMPARISONS = "Equal Greater GreaterOrEqual Less LessOrEqual".split()
# A Clip without any bound is missing: it stops infinities, and eliminate-identity takes it for no operator at all.
FORMS = {
    **{name: f"{name} (x)" for name in UNARY},
    **{name: f"{name} (a, b)" for name in BINARY},
    "Clip from": "Clip (x, one)",
    "Clip to": "Clip (x, , one)",
    "Clip between": "Clip (x, zero, one)",
    "Clip at run time": "Clip (x, low, high)",
    "Clip from NaN": "Clip (x, nan)",
    "Clip to NaN": "Clip (x, zero, nan)",
    "Max of three": "Max (a, b, x)",
    "Min of one": "Min (x)",
    "Mod": "Mod <fmod = 1> (a, b)",
    "Elu of -1": "Elu <alpha = -1.0> (x)",
    "ThresholdedRelu of -1": "ThresholdedRelu <alpha = -1.0> (x)",
}
PREDICATES = {
    "IsInf": "IsInf (x)",
    "IsNaN": "IsNaN (x)",
    **{name: f"{name} (a, b)" for name in COMPARISONS},
}
ELSEWHERE = {"Celu", "Hardmax"}
"""Operators that stay with onnxruntime."""
SIGNLESS: set[str] = set()
"""Where native code makes 0.0 of -0.0."""


@pytest.fixture(scope="module")
def answers() -> tuple[dict[str, Array], dict[str, Array]]:
    """Return what onnxruntime and what native code answer, by form; one program computes all of them."""
    named = {name: f"y{index}" for index, name in enumerate([*FORMS, *PREDICATES])}
    outputs = [f"{'bool' if name in PREDICATES else 'float'}[M,K] {output}" for name, output in named.items()]
    body = "\n".join(f"{named[name]} = {form}" for name, form in (FORMS | PREDICATES).items())
    model = parse_model(
        f"""
        g (float[{SIZE},{SIZE}] x, float[{SIZE},{SIZE}] a, float[{SIZE},{SIZE}] b, float low, float high)
            => ({", ".join(outputs)})
        <float zero = {{0}}, float one = {{1}}, float minus = {{-1}}>
        {{ nan = Sqrt (minus)\n{body} }}
        """,
        opset=20,
    )
    a, b = np.broadcast_arrays(SPECIAL[:, None], SPECIAL)
    x = np.stack([np.roll(SPECIAL, shift) for shift in range(SIZE)])
    feeds = {"x": x, "a": a, "b": b, "low": np.array(-1, np.float32), "high": np.array(2, np.float32)}
    program = graphopt.compile(model, cache=False, pipeline="fold-constants")
    assert not program.report.notes
    outside = {place.node.split()[0] for place in program.report.placements if place.executor != "tvm"}
    assert outside == ELSEWHERE
    expected, actual = evaluate(model, feeds), program(feeds)
    return {name: expected[out] for name, out in named.items()}, {name: actual[out] for name, out in named.items()}


@pytest.mark.parametrize("name", [*FORMS, *PREDICATES])
def test_special_values_are_as_in_onnxruntime(name: str, answers: tuple[dict[str, Array], dict[str, Array]]) -> None:
    expected, actual = (side[name] for side in answers)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    if name not in SIGNLESS and name not in PREDICATES:
        zero = (expected == 0) & (actual == 0)
        np.testing.assert_array_equal(np.signbit(actual[zero]), np.signbit(expected[zero]))
