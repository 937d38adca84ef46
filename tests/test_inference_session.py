"""Code that was written for onnxruntime, with its import changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

import graphopt
from graphopt.errors import ModelError, RunError
from tests.networks import network

MODEL = """
g (float[N,4] x, double[2] scale, int64[?] rest) => (float[N,4] y, bool[?] z, float16[2] h)
{ y = Relu (x)  z = Cast <to = 9> (rest)  h = Cast <to = 10> (scale) }
"""
FEEDS = {
    "x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32),
    "scale": np.array([0.5, -3.0]),
    "rest": np.array([0, 1, 2]),
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a model and the program that was compiled of it, by the package that runs each."""
    folder = tmp_path_factory.mktemp("session")
    model = network(MODEL)
    model.producer_name = "trainer"
    model.metadata_props["names"] = "{0: 'cat'}"
    (folder / "m.onnx").write_bytes(ir.to_proto(model).SerializeToString())
    graphopt.compile(folder / "m.onnx", cache=False).save(folder / "m.gopt")
    return {"onnxruntime": folder / "m.onnx", "graphopt": folder / "m.gopt"}


def session_of(package: Any, path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return package.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def sessions(paths: dict[str, Path]) -> tuple[Any, Any]:
    return session_of(graphopt, paths["graphopt"]), session_of(onnxruntime, paths["onnxruntime"])


def test_inputs_and_outputs_are_described_alike(sessions: tuple[Any, Any]) -> None:
    ours, theirs = sessions
    for asked in ("get_inputs", "get_outputs"):
        described = [[(one.name, one.type, one.shape) for one in getattr(session, asked)()] for session in sessions]
        assert described[0] == described[1]
    assert ours.get_providers() == theirs.get_providers()
    for said in ("producer_name", "graph_name", "custom_metadata_map"):
        assert getattr(ours.get_modelmeta(), said) == getattr(theirs.get_modelmeta(), said)


@pytest.mark.parametrize("names", [None, [], ["y"], ["h", "y"], ["z", "z"]])
def test_outputs_come_in_the_order_of_their_names(sessions: tuple[Any, Any], names: list[str] | None) -> None:
    ours, theirs = (session.run(names, FEEDS) for session in sessions)
    assert len(ours) == len(theirs)
    for got, want in zip(ours, theirs, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_mistakes_are_one_sentence(sessions: tuple[Any, Any]) -> None:
    with pytest.raises(RunError, match="no output 'w'; it has y, z, h"):
        sessions[0].run(["w"], FEEDS)
    with pytest.raises(RunError, match="input 'rest' is missing"):
        sessions[0].run(None, {"x": FEEDS["x"], "scale": FEEDS["scale"]})


def test_a_model_is_to_be_compiled_first(paths: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=r"is a model; compile it first: graphopt compile .*m\.onnx -o .*m\.gopt"):
        graphopt.InferenceSession(paths["onnxruntime"])
    with pytest.raises(ModelError, match="needs the path of a program"):
        graphopt.InferenceSession(b"")
