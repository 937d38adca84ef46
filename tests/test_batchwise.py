"""The proof that samples do not touch each other: what it takes is executed, what it refuses says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.compiler.optimize import optimize
from graphopt.ir.batchwise.integers import MICROSOFT, MICROSOFT_RULES
from graphopt.ir.batchwise.proof import prove_batchwise
from graphopt.ir.batchwise.rules import RULES
from graphopt.ir.load import load
from graphopt.ir.text.parser import parse_model
from graphopt.ir.walk import is_op, nodes
from graphopt.numerics import difference
from models import TOPOLOGIES

CASES = Path(__file__).parent / "batchwise.md"
BATCH = 5


def cases(heading: str) -> Iterator[tuple[str, str]]:
    """Yield the cases below a heading: what stands before a graph, and the graph."""
    section = CASES.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    yield from re.findall(r"(?m)^([^\n]+)\n\n```onnx\n(.*?)```", section, re.DOTALL)


APART = dict(cases("Apart"))
MIXED = list(cases("Mixed"))


def test_the_cases_are_read() -> None:
    assert len(APART) == CASES.read_text(encoding="utf-8").partition("## Mixed")[0].count("```onnx") > 20
    assert len(MIXED) == CASES.read_text(encoding="utf-8").partition("## Mixed")[2].count("```onnx") > 40


@pytest.mark.parametrize("text", APART.values(), ids=APART)
def test_samples_that_are_proved_apart_are_apart(text: str) -> None:
    model = parse_model(text)
    found = prove_batchwise(model)
    assert found.inputs, found.obstacle
    shapes = {
        str(value.name): [dim if isinstance(dim, int) else BATCH for dim in value.shape or ()]
        for value in model.graph.inputs
    }
    feeds = random_feeds(model, seed=3, shapes=shapes)
    whole = evaluate(model, feeds)
    parts = [
        evaluate(model, {name: array[cut] if name in found.inputs else array for name, array in feeds.items()})
        for cut in (slice(0, 1), slice(1, 3), slice(3, BATCH))
    ]
    for name, array in whole.items():
        assert difference(name, array, np.concatenate([part[name] for part in parts])).error <= 1e-5


@pytest.mark.parametrize(("words", "text"), MIXED, ids=[words for words, _ in MIXED])
def test_what_may_mix_samples_is_refused_with_the_reason(words: str, text: str) -> None:
    found = prove_batchwise(parse_model(text))
    assert found.inputs == ()
    assert words in found.obstacle
    assert "\n" not in found.obstacle


def test_every_rule_has_a_case_that_it_takes() -> None:
    taken = {(node.domain, node.op_type) for text in APART.values() for node in nodes(parse_model(text))}
    assert {*(("", name) for name in RULES), *((MICROSOFT, name) for name in MICROSOFT_RULES)} - taken == set()


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v2", "shufflenet_v2", "squeezenet1.1"])
def test_known_topologies_are_proved_as_they_are_written(name: str) -> None:
    found = prove_batchwise(load(TOPOLOGIES[name](batch="N")))
    assert (found.inputs, found.obstacle) == (("image",), "")


@pytest.mark.parametrize(
    "text",
    [
        "g (float[2,4] x) => (float[2,4] y) { y = Neg (x) }",
        "g (float[2,H] x) => (float[2,H] y) { y = Neg (x) }",
        "g (float x) => (float y) { y = Neg (x) }",
    ],
)
def test_without_a_free_batch_there_is_nothing_to_prove(text: str) -> None:
    found = prove_batchwise(parse_model(text))
    assert (found.inputs, found.obstacle) == ((), "")


def test_an_unnamed_batch_is_one_where_one_input_has_it() -> None:
    assert prove_batchwise(parse_model("g (float[?,4] x) => (float[?,4] y) { y = Neg (x) }")).inputs == ("x",)


def test_what_is_declared_is_no_proof() -> None:
    """The declaration of the output names the batch, where the graph puts the features in front."""
    model = parse_model("g (float[N,4] x) => (float[K,L] y) { y = Transpose <perm = [1, 0]> (x) }")
    (value,) = model.graph.outputs
    value.shape = ir.Shape(["N", 4])
    assert "moves the batch axis" in prove_batchwise(model).obstacle


def test_the_model_stays_as_it_is() -> None:
    model = parse_model("g (float[N,4] x) => (float[N,4] y) { a = Neg (x)  y = Relu (a) }")
    model.graph[0].outputs[0].shape = None
    prove_batchwise(model)
    assert model.graph[0].outputs[0].shape is None


def test_kernels_are_seen_through() -> None:
    model = parse_model("g (float[N,4] x) => (float[N,4] y) <float[4] w> { a = Mul (x, w)  b = Exp (a)  y = Tanh (b) }")
    fused, _ = optimize(model, "O3")
    assert not any(is_op(node, "Mul") for node in fused.graph)
    assert prove_batchwise(fused).inputs == ("x",)
