"""A numpy model of quantized operators, and models in ONNX that compute the same.

Sources: ONNX operator spec, QuantizeLinear-21, QLinearConv-10, QLinearMatMul-21. Sums are exact; their product with the
ratio of scales is one of float32, rounded to nearest, ties to even.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

import graphopt
from graphopt.targets import Target
from graphopt.tensors import Array


@dataclass(frozen=True)
class Quantized:
    """Integers and what they stand for; a scale and a zero point each, or one an index of an axis."""

    numbers: Array
    scale: Array
    zero_point: Array
    axis: int = 0

    @property
    def centred(self) -> Array:
        return self.numbers.astype(np.int64) - self._spread(self.zero_point).astype(np.int64)

    def real(self) -> Array:
        return self.centred.astype(np.float32) * self._spread(self.scale)

    def _spread(self, parameter: Array) -> Array:
        ones = [1] * self.numbers.ndim
        if parameter.ndim:
            ones[self.axis] = -1
        return parameter.reshape(ones) if parameter.ndim else parameter


def random(
    shape: Sequence[int],
    dtype: str,
    zero_point: int,
    scale: float = 0.02,
    *,
    channels: int | None = None,
    rng: np.random.Generator,
) -> Quantized:
    """Make integers from the whole range of a dtype; the indices of the axis `channels` have scales of their own."""
    limits = np.iinfo(dtype)
    numbers = rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
    if channels is None:
        return Quantized(numbers, np.asarray(scale, np.float32), np.asarray(zero_point, dtype))
    scales = (scale * rng.uniform(0.5, 2.0, shape[channels])).astype(np.float32)
    return Quantized(numbers, scales, np.full(shape[channels], zero_point, dtype), channels)


def saturated(whole: Array, zero_point: Array) -> Array:
    limits = np.iinfo(zero_point.dtype)
    return np.clip(whole + zero_point, limits.min, limits.max).astype(zero_point.dtype)


def quantize(real: Array, scale: Array, zero_point: Array) -> Array:
    return saturated(np.rint(real / scale), zero_point)


def requantize(sums: Array, ratio: Array, zero_point: Array) -> Array:
    """Bring sums of int32, with their channels in axis 1 or one ratio, into integers of 8 bits."""
    assert abs(sums).max() < 1 << 31
    return saturated(np.rint(sums.astype(np.float32) * ratio.astype(np.float32)), zero_point)


@dataclass(frozen=True)
class Window:
    """The attributes of a Conv."""

    pads: Sequence[int] = ()
    strides: Sequence[int] = ()
    dilations: Sequence[int] = ()
    group: int = 1

    def attributes(self) -> dict[str, int | list[int]]:
        given = {"pads": self.pads, "strides": self.strides, "dilations": self.dilations}
        return {"group": self.group, **{name: list(value) for name, value in given.items() if value}}


def sums_of_conv(x: Quantized, w: Quantized, window: Window) -> Array:
    """Return Σ (x - zx) · (w - zw), exact; padding counts as 0."""
    data, weights = x.centred, w.centred
    rank = data.ndim - 2
    pads = window.pads or [0] * (2 * rank)
    strides, dilations = window.strides or [1] * rank, window.dilations or [1] * rank
    padded = np.pad(data, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    total: Array | int = 0
    for taps in itertools.product(*map(range, weights.shape[2:])):
        cut = tuple(
            slice(tap * dilation, padded.shape[axis + 2] - (weights.shape[axis + 2] - 1 - tap) * dilation, stride)
            for axis, (tap, dilation, stride) in enumerate(zip(taps, dilations, strides, strict=True))
        )
        parts = np.split(padded[(..., *cut)], window.group, axis=1), np.split(weights[(..., *taps)], window.group)
        total += np.concatenate(
            [np.einsum("nc...,oc->no...", part, factor) for part, factor in zip(*parts, strict=True)], axis=1
        )
    return np.asarray(total)


def qlinear_conv(x: Quantized, w: Quantized, bias: Array | None, y: tuple[Array, Array], window: Window) -> Array:
    """Return the result of QLinearConv; `y` are its scale and zero point."""
    sums = sums_of_conv(x, w, window)
    column = (1, -1, *(1,) * (sums.ndim - 2))
    if bias is not None:
        sums = sums + bias.reshape(column)
    ratio = x.scale * w.scale / y[0]
    return requantize(sums, ratio.reshape(column) if ratio.ndim else ratio, y[1])


def qlinear_matmul(x: Quantized, w: Quantized, bias: Array | None, y: tuple[Array, Array]) -> Array:
    """Return the result of QLinearMatMul, a bias of int32 added to its sums."""
    sums = x.centred @ w.centred
    if bias is not None:
        sums = sums + bias
    return requantize(sums, x.scale * w.scale / y[0], y[1])


def grid(real: Array, dtype: str, zero_point: int) -> tuple[Array, Array]:
    """Return a scale and a zero point for real numbers, a few of which saturate."""
    span = np.iinfo(dtype).max - np.iinfo(dtype).min
    return np.asarray(6.0 * real.std() / span, np.float32), np.asarray(zero_point, dtype)


@dataclass
class GraphBuilder:
    """A model in the making, of nodes and constants whose names are made up."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def input(self, name: str, array: Array) -> str:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
        return name

    def output(self, name: str, dtype: object) -> None:
        """Make a value an output, of whatever shape."""
        self.outputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None))

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(
        self, operator: str, *inputs: str, result: str | None = None, domain: str = "", **attributes: object
    ) -> str:
        name = result or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def dequantized(self, value: str | Quantized, like: Quantized | None = None) -> str:
        """Dequantize a value as `like` says, or integers as constants."""
        what = like if isinstance(value, str) else value
        assert what is not None
        name = value if isinstance(value, str) else self.constant(value.numbers)
        parameters = self.constant(what.scale), self.constant(what.zero_point)
        return self.node("DequantizeLinear", name, *parameters, **({"axis": what.axis} if what.scale.ndim else {}))

    def bias(self, numbers: Array, scale: Array) -> str:
        """Dequantize a bias of int32."""
        scales = np.broadcast_to(scale, numbers.shape).astype(np.float32)
        return self.node("DequantizeLinear", self.constant(numbers), self.constant(scales), axis=0)

    def quantized(self, value: str, y: tuple[Array, Array], result: str | None = None) -> str:
        return self.node("QuantizeLinear", value, *map(self.constant, y), result=result)

    def model(self, opset: int = 21, **domains: int) -> onnx.ModelProto:
        imports: Mapping[str, int] = {"": opset, "com.microsoft": 1, **domains}
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(name, version) for name, version in imports.items()],
            ir_version=10,
        )


def compiled(model: onnx.ModelProto, target: Target, feeds: dict[str, Array]) -> dict[str, Array]:
    """Run a model, and make sure that TVM runs all of it."""
    module = graphopt.compile(model.SerializeToString(), target, cache=False)
    assert {placement.executor for placement in module.report.placements} == {"tvm"}, module.report.placements
    assert not module.report.notes
    return module(feeds)
