"""`graphopt.shorten` and `graphopt shorten`: blocks and layers out of a network, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.cli.main import build_app
from graphopt.errors import ModelError, PipelineError
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from graphopt.pruning.blocks.bypass import METADATA_KEY, Bypass, remove
from graphopt.pruning.blocks.choose import Network, choose
from graphopt.pruning.blocks.find import find
from graphopt.pruning.budget import Measure
from graphopt.pruning.cost import count
from tests.networks import network

DIGITS = Path("models/digits/digits.onnx")
runner = CliRunner()

BLOCKS = """
g (float[2,4,8,8] x) => (float[2,4,8,8] y)
<float[4,4,3,3] a, float[4,4,3,3] b, float[4,4,1,1] p, float[4,4,3,3] c, float[4,4,1,1] d, float[4,2,3,3] e>
{
    r = Relu (x)
    c1 = Conv <pads = [1,1,1,1]> (r, a)
    c2 = Conv <pads = [1,1,1,1]> (c1, b)
    s1 = Add (r, c2)
    q = Conv (s1, p)
    c3 = Conv <pads = [1,1,1,1]> (s1, c)
    s2 = Add (q, c3)
    m = GlobalAveragePool (s2)
    g = Conv (m, d)
    h = Sigmoid (g)
    s3 = Mul (s2, h)
    y = Conv <group = 2, pads = [1,1,1,1]> (s3, e)
}
"""


def macs(model: ir.Model) -> int:
    return count(Measure.MACS, model)


def blocks() -> ir.Model:
    model = network(BLOCKS)
    infer_shapes(model)
    return model


def test_it_finds_blocks_projections_gates_and_layers() -> None:
    found = set(find(blocks(), macs))
    assert found == {
        Bypass("c1", "r"),
        Bypass("c2", "c1"),
        Bypass("s1", "r"),
        Bypass("q", "s1"),
        Bypass("c3", "s1"),
        Bypass("s2", "q"),
        Bypass("s2", "c3"),
        Bypass("g", "m"),
        Bypass("s3", "s2"),
    }


def test_what_saves_nothing_of_a_measure_is_not_found() -> None:
    assert Bypass("s1", "c2") in set(find(blocks(), lambda model: count(Measure.FLOPS, model)))
    assert Bypass("r", "x") in set(find(blocks(), lambda model: count(Measure.FLOPS, model)))


@pytest.mark.parametrize("bypass", list(find(blocks(), macs)), ids=str)
def test_without_it_the_model_is_what_it_says(bypass: Bypass) -> None:
    """Removing is the same as adding the source and taking the output away."""
    model = blocks()
    shorter = model.clone()
    assert remove(shorter, [bypass]) == 1
    verify(shorter, types=True)
    rewired = model.clone()
    values = {value.name: value for node in rewired.graph for value in node.outputs}
    output, source = values[bypass.output], values[bypass.source]
    for reader, index in list(output.uses()):
        reader.replace_input_with(index, source)
    feeds = random_feeds(model, seed=1)
    assert differences(evaluate(rewired, feeds), evaluate(shorter, feeds))[0].error == 0
    assert macs(shorter) < macs(model)


def test_blocks_in_a_row_go_together() -> None:
    model = blocks()
    bypasses = [Bypass("s1", "r"), Bypass("c1", "r"), Bypass("s2", "q"), Bypass("q", "s1")]
    assert remove(model, bypasses) == 3  # c1 went with s1
    verify(model, types=True)
    assert [node.op_type for node in model.graph] == ["Relu", "GlobalAveragePool", "Conv", "Sigmoid", "Mul", "Conv"]
    assert model.metadata_props[METADATA_KEY] == "3"


def test_the_cheapest_go_first_until_the_limit_is_met() -> None:
    model = blocks()
    errors = {"s1": 3.0, "c1": 0.5, "c3": 0.1}

    def error(shorter: ir.Model) -> float:
        left = {value.name for node in shorter.graph for value in node.outputs}
        return sum(cost for name, cost in errors.items() if name not in left)

    found = [Bypass("s1", "r"), Bypass("c1", "r"), Bypass("c3", "s1")]
    chosen = choose(Network(model, model, macs, error), found, macs(model) - 1)
    assert [one.bypass.output for one in chosen] == ["c3"]
    chosen = choose(Network(model, model, macs, error), found, 0)
    assert [one.bypass.output for one in chosen] == ["c3", "c1", "s1"]
    assert sum(one.saved for one in chosen) == macs(model) - macs(_without(model, found))
    assert chosen[-1].error == pytest.approx(3.6)


def _without(model: ir.Model, bypasses: list[Bypass]) -> ir.Model:
    shorter = model.clone()
    remove(shorter, bypasses)
    return shorter


@pytest.mark.parametrize(
    ("bypass", "sentence"),
    [
        (Bypass("s9", "r"), "there is no value 's9'"),
        (Bypass("c1", "s1"), "'s1' is computed from 'c1', so it cannot be read in its place"),
    ],
)
def test_what_cannot_be_is_refused(bypass: Bypass, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        remove(blocks(), [bypass])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("remove-blocks{outputs=a,b sources=c}", "as many values, one at least; they are 2 and 1"),
        ("remove-blocks{outputs=c9 sources=r}", "names 'c9', which the model does not have"),
        ("remove-blocks{outputs=x sources=r}", "is to leave out 'x', an input of the model"),
    ],
)
def test_the_pass_refuses_what_it_cannot_do(text: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        graphopt.optimize(blocks(), text)


def images(part: slice) -> np.ndarray:
    return np.load("models/digits/digits_test.npz")["images"][part].astype(np.float32)


@pytest.fixture(scope="module")
def digits() -> graphopt.compiler.shorten.Shortened:
    return graphopt.shorten(DIGITS, {"image": images(slice(0, 100))}, macs="-10%", threads=1)


def test_a_trained_network_is_shortened(digits) -> None:
    model, report = digits
    assert report.after.macs <= 0.9 * report.before.macs
    assert report.recovered is not None
    assert report.recovered.fidelity.error < report.shortened.fidelity.error
    assert report.before.macs - report.shortened.macs == sum(one.saved for one in report.removed)
    verify(model)


def test_the_pass_removes_the_same(digits) -> None:
    _, report = digits
    model, _ = graphopt.optimize(DIGITS, f"{report.pipeline},infer-shapes,{report.pass_text},{report.pipeline}")
    shorter, _ = graphopt.shorten(DIGITS, {"image": images(slice(0, 100))}, macs="-10%", recover="none", threads=1)
    feeds = {"image": images(slice(100, 120))}
    assert differences(evaluate(shorter, feeds), evaluate(model, feeds))[0].error < 1e-6


def test_too_much_is_refused() -> None:
    with pytest.raises(PipelineError, match="macs=-99% asks for more than leaving blocks out saves"):
        graphopt.shorten(DIGITS, {"image": images(slice(0, 10))}, macs="-99%", threads=1)


def test_a_network_of_other_shapes_only_is_refused() -> None:
    model = network("g (float[N,3] x) => (float[N,4] y) <float[3,4] w> { y = MatMul (x, w) }")
    with pytest.raises(ModelError, match="nothing can be left out of model 'g': no node that costs macs"):
        graphopt.shorten(model, {"x": np.zeros((8, 3), np.float32)}, macs="-10%", threads=1)


def test_the_command(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", image=images(slice(0, 40)))
    output = tmp_path / "short.onnx"
    arguments = ["shorten", str(DIGITS), "-o", str(output), "--macs", "-10%", "--data", str(tmp_path / "data.npz")]
    result = runner.invoke(build_app(["shorten"]), [*arguments, "--explain", "--threads", "1"])
    assert result.exit_code == 0, result.output
    assert "remove-blocks{outputs=" in result.output
    assert output.exists()
    result = runner.invoke(build_app(["shorten"]), [*arguments, "--json", "--recover", "none", "--threads", "1"])
    assert json.loads(result.stdout)["removed"][0]["saved"] > 0
