"""What stays with the sums of a product, and what the readers of a value tell apart."""

from __future__ import annotations

import math

import pytest

from graphopt.quantization.audible import audible
from graphopt.quantization.decide import decide
from graphopt.quantization.epilogue import epilogue_of
from graphopt.quantization.scheme import SCHEMES
from graphopt.quantization.selection import FUSED, select
from tests.test_quantization_emit import inferred

HEAD = "g (float[N,4,8,8] x) => (float[N,4,8,8] y) <float[4,4,1,1] w, float[4,1,1] a, float[1] b, float[1,1,1,8] k>"
GATE = "h = HardSigmoid (c)  g = Mul (c, h)"

EPILOGUES = {
    "nothing": ("c = Conv (x, w)  y = Conv (c, w)", []),
    "a clamp": ("c = Conv (x, w)  r = Relu (c)  y = Conv (r, w)", ["r"]),
    "a gate and a line": (f"c = Conv (x, w)  {GATE}  m = Mul (a, g)  s = Add (m, b)  y = Conv (s, w)", list("hgms")),
    "an operand twice": ("c = Conv (x, w)  s = Add (c, c)  y = Conv (s, w)", ["s"]),
    "the first of two readers is another layer": (f"c = Conv (x, w)  {GATE}  z = Conv (c, w)  y = Add (g, z)", []),
    "another value comes in": ("c = Conv (x, w)  s = Add (c, x)  y = Conv (s, w)", []),
    "it ends where two read": ("c = Conv (x, w)  e = Elu (c)  t = Tanh (e)  z = Conv (e, w)  y = Add (t, z)", ["e"]),
    "other elements": ("c = Conv (x, w)  r = Softmax (c)  y = Conv (r, w)", []),
    "it spreads": (
        "p = GlobalAveragePool (x)  c = Conv (p, w)  s = Mul (c, k)  e = Resize (s, , , size)  y = Identity (e)",
        [],
    ),
}


@pytest.mark.parametrize("name", EPILOGUES)
def test_functions_of_single_elements_stay_with_the_sums(name: str) -> None:
    text, expected = EPILOGUES[name]
    model = inferred(f"{HEAD.replace('k>', 'k, int64[4] size = {1, 4, 8, 8}>')} {{ {text} }}")
    product = next(node for node in model.graph if node.outputs[0].name == "c")
    assert [node.outputs[0].name for node in epilogue_of(product)] == expected


def test_what_ends_as_an_output_of_the_graph_ends_there() -> None:
    text = "c = Conv (x, w)  e = Elu (c)  y = Tanh (e)"
    model = inferred(f"{HEAD.replace('=> (', '=> (float[N,4,8,8] e, ')} {{ {text} }}")
    assert [node.outputs[0].name for node in epilogue_of(next(iter(model.graph)))] == ["e"]


def test_our_own_form_makes_integers_behind_them() -> None:
    text = f"c = Conv (x, w)  {GATE}  s = Add (g, b)  y = Conv (s, w)"
    ours, theirs = (select(inferred(f"{HEAD} {{ {text} }}"), SCHEMES[name]) for name in ("graphopt", "x64"))
    assert [value.name for value in ours.values] == ["x", "s", "y"]
    assert {"c", "s"} <= {value.name for value in theirs.values}
    assert [reason for reason in ours.refusals.values() if reason == FUSED] == [FUSED] * 3


def test_a_residual_sum_reads_a_function_in_its_accumulator() -> None:
    text = f"c = Conv (x, w)  {GATE}  r = Add (g, x)  y = Conv (r, w)"
    found = select(inferred(f"{HEAD} {{ {text} }}"), SCHEMES["graphopt"])
    assert [value.name for value in found.values] == ["x", "r", "y"]


AUDIBLE = {
    "c = Conv (x, w)  h = HardSwish (c)  y = Conv (h, w)": (-3.0, math.inf),
    "c = Conv (x, w)  h = HardSigmoid <alpha = 0.25, beta = 0.5> (c)  y = Conv (h, w)": (-2.0, 2.0),
    "c = Conv (x, w)  h = HardSigmoid <alpha = 0.25> (c)  g = Mul (c, h)  y = Conv (g, w)": (-2.0, math.inf),
    "c = Conv (x, w)  h = HardSigmoid <alpha = -0.25> (c)  y = Conv (h, w)": (-math.inf, math.inf),
    "c = Conv (x, w)  h = HardSwish (c)  z = Conv (c, w)  y = Add (h, z)": (-math.inf, math.inf),
    "c = Conv (x, w)  y = Identity (c)": (-math.inf, math.inf),
}


@pytest.mark.parametrize("text", AUDIBLE)
def test_beyond_its_ends_a_gate_hears_nothing(text: str) -> None:
    model = inferred(f"{HEAD} {{ {text} }}")
    assert audible(next(node.outputs[0] for node in model.graph if node.outputs[0].name == "c")) == AUDIBLE[text]


def test_integers_are_not_spent_on_what_nobody_hears() -> None:
    model = inferred(f"{HEAD} {{ c = Conv (x, w)  h = HardSwish (c)  y = Conv (h, w) }}", 14)
    plan = decide(
        select(model, SCHEMES["x64"]), {"x": (-1, 1), "c": (-60, 7), "h": (-0.4, 7), "y": (-1, 1)}, SCHEMES["x64"]
    )
    assert float(plan.values["c"].scale) == pytest.approx(10 / 255)
