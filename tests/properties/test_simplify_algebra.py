"""Random chains of elementwise operators and constants keep their answers, infinities and NaN included."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.numerics import DEFAULT_TOLERANCE, differences
from graphopt.pipeline.manager import PassManager
from graphopt.pipeline.text import parse_pipeline
from graphopt.targets import host
from passes import PASSES

PIPELINE = "fixpoint(infer-shapes,fold-constants,simplify-algebra,deduplicate,remove-dead-nodes)"
CONSTANTS = "abcdefg"
INPUTS = np.array([[0, 1, -1, 1e-3], [50, -50, 0.5, -2], [3, -7, 2, 1.5]], np.float32)
HEADER = (
    "g (float[N,4] x) => (float[?,4] y) <float a = {-3}, float b = {-0.5}, float c = {2}, float d = {7}, "
    "float[4] e = {1, -1, 4, 3}, float[3,1] f = {2, 2, 2}, float[1] g = {1}>"
)
UNARY = "Abs Ceil Floor Neg Reciprocal Relu Round Sigmoid Sign".split()
BINARY = "Add Add Sub Sub Mul Mul Div Div Max Min".split()


@st.composite
def chains(draw: st.DrawFn) -> str:
    """Return the text of a chain, each step of which reads the one before, and perhaps an earlier one."""
    lines, names = [], ["x"]
    for index in range(draw(st.integers(2, 10))):
        value, earlier = names[-1], draw(st.sampled_from(names))
        constant = draw(st.sampled_from(CONSTANTS))
        pair = draw(st.permutations([value, draw(st.sampled_from([constant, constant, earlier]))]))
        low, high = draw(st.sampled_from("abcd")), draw(st.sampled_from(["", *"abcd"]))
        step = draw(
            st.sampled_from(
                [
                    f"{draw(st.sampled_from(UNARY))} ({value})",
                    f"{draw(st.sampled_from(BINARY))} ({', '.join(pair)})",
                    f"Clip ({value}, {low}, {high})",
                    f"Pow ({value}, c)",
                    f"Sum ({value}, {earlier})",
                ]
            )
        )
        names.append(f"v{index}")
        lines.append(f"{names[-1]} = {step}")
    return f"{HEADER} {{ {' '.join(lines)} y = Identity ({names[-1]}) }}"


@settings(max_examples=60, deadline=None, derandomize=True)  # a last digit may tip a Floor
@given(chains())
def test_chains_keep_their_answers(text: str) -> None:
    optimized = simplified(text)
    verify(optimized)
    feeds = {"x": INPUTS}
    for found in differences(evaluate(parse_model(text), feeds), evaluate(optimized, feeds)):
        assert found.error <= DEFAULT_TOLERANCE, found


def simplified(text: str) -> ir.Model:
    model = parse_model(text)
    manager = PassManager(parse_pipeline(PIPELINE, PASSES), host())
    manager.run(model)
    assert manager.run(model).changes == 0
    return model
