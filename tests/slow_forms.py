"""A small residual network in the forms that quantizers write, which onnxruntime runs slower than the float one.

The forms follow files that NNCF 3.4, ModelOpt 0.47 and Quark 0.13 made of EfficientNet-Lite0: NNCF gives depthwise
convolutions a scale for each channel and mixes int8 with uint8, ModelOpt writes int8 before convolutions alone, and
quantizes one branch of a sum, Quark gives biases eight bits and scales that are powers of two. All leave Clip where
int8 around zero does not saturate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx

from tests.quantized_graphs import S8, U8, Graph, Scale

CHANNELS, HIDDEN = 8, 16
SIX = np.float32(6)


def nncf(*, normalized: bool = False) -> tuple[Graph, str]:
    """Write the form of NNCF; `normalized` is of a model whose BatchNormalization were not folded before."""
    graph = Graph((1, CHANNELS, 8, 8))
    signed = {"zero": S8(0)}
    x = graph.both("x", 0.03, **signed)
    hidden = _clip(graph, _conv(graph, x, (HIDDEN, CHANNELS, 1, 1), normalized=normalized))
    channels = (6 / 255 * np.linspace(0.6, 1, HIDDEN)).astype(np.float32)
    hidden = graph.both(hidden, channels, np.zeros(HIDDEN, U8), axis=1)
    deep = _clip(graph, _conv(graph, hidden, (HIDDEN, 1, 3, 3), group=HIDDEN, normalized=normalized))
    deep = graph.both(deep, 6 / 255, U8(0))
    out = _conv(graph, deep, (CHANNELS, HIDDEN, 1, 1), normalized=normalized)
    total = graph.both(graph.op("Add", x, graph.both(out, 0.1, **signed)), 0.11, **signed)
    return graph, _head(graph, total, lambda value: graph.both(value, 0.04, **signed))


def modelopt() -> tuple[Graph, str]:
    """Write the form of ModelOpt: int8 around zero in front of convolutions, the last of a branch added in float."""
    graph = Graph((1, CHANNELS, 8, 8))
    x = graph.both("x", 0.03, S8(0))
    hidden = graph.both(_clip(graph, _conv(graph, x, (HIDDEN, CHANNELS, 1, 1))), 6 / 127, S8(0))
    deep = graph.both(_clip(graph, _conv(graph, hidden, (HIDDEN, 1, 3, 3), group=HIDDEN)), 6 / 127, S8(0))
    total = graph.op("Add", x, _conv(graph, deep, (CHANNELS, HIDDEN, 1, 1)))
    return graph, _head(graph, graph.both(total, 0.11, S8(0)), lambda value: value)


def quark() -> tuple[Graph, str]:
    """Write the form of Quark's XINT8: int8 around zero, powers of two, biases of eight bits."""
    graph = Graph((1, CHANNELS, 8, 8))
    half = 2.0**-5
    x = graph.both("x", half, S8(0))
    hidden = graph.both(_clip(graph, _conv(graph, x, (HIDDEN, CHANNELS, 1, 1), pow2=True)), half, S8(0))
    deep = graph.both(_clip(graph, _conv(graph, hidden, (HIDDEN, 1, 3, 3), group=HIDDEN, pow2=True)), half, S8(0))
    out = graph.both(_conv(graph, deep, (CHANNELS, HIDDEN, 1, 1), pow2=True), 2 * half, S8(0))
    total = graph.both(graph.op("Add", x, out), 4 * half, S8(0))
    return graph, _head(graph, total, lambda value: graph.both(value, half, S8(0)))


FORMS: dict[str, Callable[[], tuple[Graph, str]]] = {
    "nncf": nncf,
    "nncf-unfolded": lambda: nncf(normalized=True),
    "modelopt": modelopt,
    "quark": quark,
}


def slow(form: str) -> onnx.ModelProto:
    graph, *outputs = FORMS[form]()
    return graph.typed(*outputs)


def _conv(
    graph: Graph,
    x: str,
    shape: tuple[int, ...],
    *,
    group: int = 1,
    normalized: bool = False,
    pow2: bool = False,
) -> str:
    """Add a convolution whose sums are of about one deviation, with a bias as the form has it."""
    fan_in = int(np.prod(shape[1:]))
    scale: Scale = _scales(shape[0], fan_in)
    axis = {"axis": 0}
    if pow2:
        scale, axis = float(2.0 ** np.round(np.log2(scale.mean()))), {}
    weight = graph.weight(shape, scale, **axis)
    pads = [shape[2] // 2] * 4
    bias = graph.weight((shape[0],), 2.0**-8) if pow2 else graph.constant(_normal(graph, shape[0]))
    if not normalized:
        return graph.conv(x, weight, bias, pads=pads, group=group)
    summed = graph.conv(x, weight, pads=pads, group=group)
    factors = np.where(np.arange(shape[0]) % 3, 1, -1) * np.abs(_normal(graph, shape[0])).clip(0.5, 2)
    held = [factors, _normal(graph, shape[0]), _normal(graph, shape[0]), np.ones(shape[0])]
    return graph.op("BatchNormalization", summed, *(graph.constant(part.astype(np.float32)) for part in held))


def _head(graph: Graph, value: str, between: Callable[[str], str]) -> str:
    pooled = graph.op("Flatten", between(graph.op("GlobalAveragePool", value)))
    weight = graph.weight((10, CHANNELS), _scales(10, CHANNELS), axis=0)
    return graph.op("Gemm", pooled, weight, graph.constant(_normal(graph, 10)), transB=1)


def _clip(graph: Graph, value: str) -> str:
    return graph.op("Clip", value, graph.constant(np.float32(0)), graph.constant(SIX))


def _scales(count: int, fan_in: int) -> npt.NDArray[np.float32]:
    return (np.linspace(0.5, 1.5, count) / (64 * np.sqrt(fan_in))).astype(np.float32)


def _normal(graph: Graph, count: int) -> npt.NDArray[np.float32]:
    return graph.rng.standard_normal(count).astype(np.float32)
