from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from graphopt import pictures
from graphopt.backends.ort.reference import evaluate
from graphopt.errors import OutputError
from graphopt.inspect.fidelity import Judge
from graphopt.ir.shapes import infer_shapes
from graphopt.quantization import error_plot
from graphopt.quantization.affine import Affine
from graphopt.quantization.decide import decide
from graphopt.quantization.emit import emit
from graphopt.quantization.error_table import HEADS, Deviation, ErrorTable, LayerError, error_table
from graphopt.quantization.partial import answer_error, restrict, results_of
from graphopt.quantization.plan import Plan
from graphopt.quantization.scheme import SCHEMES
from graphopt.quantization.selection import select
from graphopt.quantization.sensitivity import costs_alone, spare_few
from graphopt.tensors import Feeds
from tests.networks import network

RESIDUAL = """
g (float[2,3,8,8] x) => (float[2,5] y)
<float[4,3,3,3] w, float[4] b, float[4,4,1,1] v, float[4,1,3,3] d, float[4] c, float[4,5] m, float[5] n>
{
    a = Conv <pads = [1,1,1,1]> (x, w, b)
    r = Relu (a)
    e = Conv (r, v)
    f = Conv <group = 4, pads = [1,1,1,1]> (e, d, c)
    s = Add (f, r)
    t = Relu (s)
    p = GlobalAveragePool (t)
    q = Flatten (p)
    y = Gemm (q, m, n)
}
"""


def batches(count: int = 3) -> list[Feeds]:
    rng = np.random.default_rng(3)
    return [{"x": rng.standard_normal((2, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def planned(scheme: str = "x64") -> tuple[ir.Model, Plan]:
    """Return a network, and a plan that is good but for the weight of f, whose scale is far too large."""
    model = network(RESIDUAL)
    infer_shapes(model)
    selection = select(model, SCHEMES[scheme])
    probe = model.clone()
    known = {str(value.name): value for node in probe.graph for value in node.outputs}
    names = [str(value.name) for value in selection.sources]
    probe.graph.outputs.extend(known[name] for name in names if name in known and name != "y")
    held = [{**evaluate(probe, feeds), **feeds} for feeds in batches()]
    ranges = {name: (min(h[name].min() for h in held), max(h[name].max() for h in held)) for name in names}
    plan = decide(selection, {name: (float(low), float(high)) for name, (low, high) in ranges.items()}, SCHEMES[scheme])
    coarse = Affine(plan.weights["d"].scale * np.float32(150), plan.weights["d"].zero_point, plan.weights["d"].axis)
    return model, dataclasses.replace(plan, weights={**plan.weights, "d": coarse})


def written(model: ir.Model, plan: Plan, scheme: str = "x64") -> ir.Model:
    quantized = model.clone()
    emit(quantized, plan, scheme)
    return quantized


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_nodes_make_what_their_clamp_leaves() -> None:
    model, plan = planned()
    found = results_of(model, plan)
    assert {name: found[name] for name in ("a", "e", "f", "s")} == {"a": "r", "e": "e", "f": "f", "s": "t"}
    assert list(found) == sorted(found, key=[value.name for node in model.graph for value in node.outputs].index)


def test_a_plan_for_some_nodes_quantizes_around_them_alone() -> None:
    model, plan = planned()
    one = restrict(model, plan, {"e"})
    assert one.nodes == {"e"}
    assert set(one.values) == {"r", "e"}
    assert operators(written(model, one)).count("QuantizeLinear") == 2
    clamped = restrict(model, plan, {"a"})
    assert clamped.nodes == {"a", "r"}
    assert set(clamped.values) == {"x", "r"}
    assert "Relu" not in operators(written(model, clamped))[:6]
    assert restrict(model, plan, results_of(model, plan).keys()) == plan
    assert restrict(model, plan, ()).nodes == frozenset()


@pytest.mark.parametrize("scheme", ["x64", "tensorrt"])
def test_layers_are_compared_behind_their_integers(scheme: str) -> None:
    model, plan = planned(scheme)
    quantized = written(model, plan, scheme)
    layers = results_of(model, plan)
    measured = costs_alone(layers, answer_error(model, plan, scheme, Judge(model, batches())))
    table = error_table(model, quantized, layers, batches(), measured)
    found = {one.layer: one for one in table.layers}
    assert list(found) == list(layers)
    assert [one.operator for one in table.layers][:3] == ["Conv", "Conv", "Conv"]
    assert all(25 < found[name].sqnr < 70 for name in ("a", "e"))
    assert all(0 < one.cosine < 1 for one in table.layers)
    assert found["f"].sqnr < 15
    assert found["f"].sqnr == min(one.sqnr for one in table.layers)
    assert found["f"].contribution == max(one.contribution or 0 for one in table.layers)
    rows = table.rows()
    assert len(HEADS) == len(rows[0])
    assert rows[0][:2] == ("a", "Conv")
    assert rows[0][4].endswith("%")
    assert json.loads(json.dumps(table.to_dict()))["layers"][0]["layer"] == "a"


def test_the_worst_layer_is_the_one_to_spare() -> None:
    model, plan = planned()
    evaluate_nodes = answer_error(model, plan, "x64", Judge(model, batches()))
    layers = results_of(model, plan)
    whole = evaluate_nodes(frozenset(layers))
    assert evaluate_nodes(frozenset()) == 0
    costs = costs_alone(layers, evaluate_nodes)
    ranking = sorted(layers, key=lambda layer: -costs[layer])
    choice = spare_few(ranking, evaluate_nodes, whole / 3)
    assert choice.spared[0] == ranking[0] == "f"
    assert choice.reached
    assert choice.error <= whole / 3


def test_values_that_are_equal_have_no_noise() -> None:
    model, plan = planned()
    table = error_table(model, model.clone(), results_of(model, plan), batches(1))
    assert {(one.sqnr, one.cosine, one.contribution) for one in table.layers} == {(math.inf, 1.0, None)}
    assert table.rows()[0][2:] == ("inf", "1.00000", "")


def test_signal_to_noise_and_angle_add_up_over_batches() -> None:
    rng = np.random.default_rng(0)
    right = rng.standard_normal((4, 5)).astype(np.float32)
    made = right + 0.1 * rng.standard_normal((4, 5)).astype(np.float32)
    parts = Deviation()
    for index in range(4):
        parts.add(right[index], made[index])
    exact = right.astype(np.float64), made.astype(np.float64)
    noise = np.square(exact[1] - exact[0]).sum()
    assert parts.sqnr == pytest.approx(10 * np.log10(np.square(exact[0]).sum() / noise))
    cosine = (exact[0] * exact[1]).sum() / np.linalg.norm(exact[0]) / np.linalg.norm(exact[1])
    assert parts.cosine == pytest.approx(cosine)
    dead = Deviation()
    dead.add(np.zeros(3), np.zeros(3))
    assert (dead.sqnr, dead.cosine) == (math.inf, 1)
    dead.add(np.zeros(3), np.ones(3))
    assert (dead.sqnr, dead.cosine) == (-math.inf, 0)


@pytest.mark.parametrize("ending", pictures.FORMATS)
@pytest.mark.parametrize("contribution", [None, 0.02])
def test_a_picture_of_it(tmp_path: Path, ending: str, contribution: float | None) -> None:
    pytest.importorskip("matplotlib")
    pictures.check_installed()
    layers = (LayerError("a", "Conv", 32.5, 0.999, contribution), LayerError("b", "Add", math.inf, 1.0))
    path = tmp_path / f"errors{ending}"
    error_plot.draw(ErrorTable(layers), path)
    assert path.stat().st_size > 1000
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OutputError, match="cannot write"):
        error_plot.draw(ErrorTable(layers), tmp_path / "missing" / f"errors{ending}")
