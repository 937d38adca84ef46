"""`graphopt doctor --fix` folds what convolutions do by themselves before it looks at who runs in integers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.cli import main as cli
from graphopt.compiler.mend import mend
from graphopt.errors import ModelError
from graphopt.ir.load import load
from tests.onnxruntime_graph import in_integers
from tests.quantized_graphs import U8, Graph, per_channel
from tests.test_quantization_emit import ops

PADS = np.array([0, 0, 1, 1, 0, 0, 1, 1])
ZERO = U8(100)


def rounded_before_and_behind(graph: Graph) -> str:
    return graph.both(graph.op("Pad", graph.both("x", 0.05, ZERO), graph.constant(PADS)), 0.05, ZERO)


def rounded_before(graph: Graph) -> str:
    padded = graph.op("Pad", graph.quantize("x", 0.05, ZERO), graph.constant(PADS), graph.constant(ZERO))
    return graph.dequantize(padded, 0.05, ZERO)


def rounded_behind(graph: Graph) -> str:
    return graph.both(graph.op("Pad", "x", graph.constant(PADS)), 0.05, ZERO)


@pytest.mark.parametrize("pad", [rounded_before_and_behind, rounded_before, rounded_behind])
@pytest.mark.parametrize("group", [1, 8])
def test_a_pad_becomes_the_convolutions_own(pad: Callable[[Graph], str], group: int) -> None:
    graph = Graph()
    weight = graph.weight((8, 8 // group, 3, 3), per_channel(0.01, 8), axis=0)
    y = graph.both(graph.conv(pad(graph), weight, pads=[0, 0, 0, 0], group=group), 0.1)
    proto = graph.typed(y)
    x = {"x": np.random.default_rng(0).standard_normal(graph.shape).astype(np.float32)}
    (expected,) = Session(proto.SerializeToString(), optimize=False).run(x).values()
    mended = mend(proto)
    assert mended.before.counts()["convolutions"][1] == mended.after.counts()["convolutions"][0] == 1
    for model in (mended.model, graphopt.optimize(proto).model):
        found = ops(model)
        assert found["Pad"] == 0
        assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (2, 3)
        data = ir.to_proto(model)
        (actual,) = Session(data.SerializeToString(), optimize=False).run(x).values()
        np.testing.assert_array_equal(actual, expected)
        assert in_integers(data)[0]["Conv"] == 1
        assert not in_integers(data)[1]


def test_the_command_writes_it(tmp_path: Path) -> None:
    graph = Graph()
    y = graph.both(graph.conv(rounded_before(graph), graph.weight((8, 8, 3, 3)), pads=[0, 0, 0, 0]), 0.1)
    onnx.save(graph.typed(y), tmp_path / "m.onnx")
    arguments = ["doctor", str(tmp_path / "m.onnx"), "--fix", "-o", str(tmp_path / "o.onnx")]
    result = CliRunner().invoke(cli.build_app(), arguments)
    assert result.exit_code == 0, result.stderr
    assert ops(load(tmp_path / "o.onnx"))["Pad"] == 0


def test_what_holds_no_quantized_node_is_refused() -> None:
    graph = Graph()
    with pytest.raises(ModelError, match="holds no quantized node"):
        mend(graph.typed(graph.op("Relu", "x")))
