"""Whole networks, quantized by onnxruntime's own tool in both of its forms: TVM runs all of them, and agrees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.text.parser import parse_model
from graphopt.tensors import Array
from models import TOPOLOGIES

IMAGE = 32
ROUNDINGS = 0.03
"""Of the largest answer: integers one apart, where onnxruntime rounds in floats and we by the ratio of scales."""


class Noise(CalibrationDataReader):  # type: ignore[misc]  # it carries no type information
    """A few random images."""

    def __init__(self, name: str) -> None:
        self._samples: Iterator[dict[str, Array]] = iter([{name: image(seed)} for seed in range(3)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._samples, None)


def image(seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 3, IMAGE, IMAGE)).astype(np.float32)


def quantized(name: str, form: QuantFormat, activations: QuantType, folder: Path) -> Path:
    """Fold what onnxruntime would not, then quantize."""
    source, result = folder / "float.onnx", folder / "quantized.onnx"
    save(graphopt.optimize(TOPOLOGIES[name](image=IMAGE, batch=1)).model, source)
    quantize_static(
        source,
        result,
        Noise(onnx.load(source).graph.input[0].name),
        quant_format=form,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return result


@pytest.mark.parametrize(
    ("name", "form", "activations"),
    [
        ("resnet18", QuantFormat.QDQ, QuantType.QUInt8),
        ("squeezenet1.1", QuantFormat.QDQ, QuantType.QInt8),
        ("mobilenet_v2", QuantFormat.QOperator, QuantType.QUInt8),
    ],
)
def test_networks_agree_with_onnxruntime(name: str, form: QuantFormat, activations: QuantType, tmp_path: Path) -> None:
    path = quantized(name, form, activations, tmp_path)
    module = graphopt.compile(path, cache=False)
    assert {placement.executor for placement in module.report.placements} == {"tvm"}
    feeds = {module.inputs[0].name: image(9)}
    (actual,), (expected,) = module(feeds).values(), evaluate(load(path), feeds).values()
    assert abs(actual - expected).max() <= ROUNDINGS * abs(expected).max()
    assert actual.argmax() == expected.argmax()


def test_compiling_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """Integers of a sum that only floats read are lowered for nothing; TVM would say so."""
    model = parse_model("""
    g (float[1,16,8,8] x) => (float[1,16,8,8] y) <float[16,16,1,1] w, float[16,16,1,1] v>
    { a = Conv (x, w)  h = HardSwish (a)  y = Conv (h, v) }
    """)
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 16, 8, 8)).astype(np.float32)}
    graphopt.compile(graphopt.quantize(model, [feeds], method="minmax").model, cache=False)
    assert capfd.readouterr() == ("", "")
