"""A fluent layer over ONNX in which a topology reads like the table of its paper.

    network = Network("tiny", seed=0)
    x = network.input(3, 224, 224)
    x = x.conv(64, 7, stride=2, padding=3, bias=False).batch_norm().relu().max_pool(3, stride=2, padding=1)
    model = network.model(x.global_average_pool().flatten().linear(1000))

Weights come from one seeded generator, in the order in which layers are written. Each value carries an
estimate of its second moment, E[x²], and a layer draws its weights with variance 1 / (fan_in · E[x²]):
He's rule (He et al. 2015, arXiv:1502.01852), which is this one behind a ReLU, for any producer. So the
activations of a deep network neither die nor blow up, with BatchNormalization left unfolded and its
statistics random. All layers are square in kernel, stride and padding, in NCHW and float32.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

Array: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.int64]

OPSET = 17
IR_VERSION = 8  # the one that opset 17 was released with


class Network:
    """An ONNX model under construction: names its nodes, draws its weights.

    `batch` is the first dimension of every value: a number, or a name for a dynamic one.
    """

    def __init__(self, name: str, *, seed: int, batch: int | str = "N") -> None:
        self.batch = batch
        self.random = np.random.default_rng(seed)
        self._model = helper.make_model(
            onnx.GraphProto(name=name),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="graphopt.models",
        )
        self._scope: tuple[str, ...] = ()
        self._count: Counter[str] = Counter()

    def input(self, *shape: int, name: str = "image") -> Value:
        """Declare an input of `shape`, the batch dimension left out."""
        self._model.graph.input.append(self._declaration(name, shape))
        return Value(self, name, shape)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of the nodes written inside, as in `stage1/block2/Conv_1`."""
        self._scope = (*self._scope, name)
        try:
            yield
        finally:
            self._scope = self._scope[:-1]

    def model(self, output: Value, name: str = "logits") -> onnx.ModelProto:
        """Finish: `output`, used by no other layer, becomes the model's output under `name`."""
        producer = next(node for node in self._model.graph.node if output.name in node.output)
        producer.output[list(producer.output).index(output.name)] = name
        self._model.graph.output.append(self._declaration(name, output.shape))
        return self._model

    def normal(self, *shape: int, variance: float) -> npt.NDArray[np.float32]:
        """Draw from the normal distribution around zero."""
        values = self.random.standard_normal(shape, dtype=np.float32)
        values *= np.float32(math.sqrt(variance))
        return values

    def uniform(self, size: int, low: float, high: float) -> npt.NDArray[np.float32]:
        """Draw a vector evenly from [low, high)."""
        return self.random.uniform(low, high, size).astype(np.float32)

    def emit(
        self,
        op_type: str,
        inputs: Sequence[Value],
        parameters: Mapping[str, Array] | None = None,
        *,
        outputs: int = 1,
        **attributes: Any,
    ) -> list[str]:
        """Append a node, its `parameters` as initializers behind its inputs; return its outputs' names."""
        path = "/".join((*self._scope, op_type))
        self._count[path] += 1
        name = f"{path}_{self._count[path]}"
        names = [name] if outputs == 1 else [f"{name}.{index}" for index in range(outputs)]
        initializers = {f"{name}.{role}": array for role, array in (parameters or {}).items()}
        for initializer, array in initializers.items():
            # Filled in place: a large weight exists once here, not three times.
            self._model.graph.initializer.add(
                name=initializer,
                dims=array.shape,
                data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
                raw_data=array.tobytes(),
            )
        operands = [*(value.name for value in inputs), *initializers]
        self._model.graph.node.append(helper.make_node(op_type, operands, names, name, **attributes))
        return names

    def _declaration(self, name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [self.batch, *shape])


@dataclass(frozen=True)
class Value:
    """A float32 tensor of a network: its shape without the batch, and `power`, its estimated E[x²]."""

    network: Network
    name: str
    shape: tuple[int, ...]
    power: float = 1.0

    @property
    def channels(self) -> int:
        """The size of the first dimension after the batch."""
        return self.shape[0]

    # -- layers with weights

    def conv(
        self,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> Value:
        """Convolve to `channels`; `groups` = `self.channels` is a depthwise convolution."""
        shape = (channels, self.channels // groups, kernel, kernel)
        return self._layer(
            "Conv",
            (channels, *_slide(self.shape[1:], kernel, stride, padding)),
            self._weights(shape, math.prod(shape[1:]), channels if bias else 0),
            group=groups,
            **_window(kernel, stride, padding),
        )

    def conv_transpose(self, channels: int, kernel: int, *, stride: int) -> Value:
        """Convolve upwards, multiplying height and width by `stride` when `kernel` equals it."""
        shape = (self.channels, channels, kernel, kernel)
        return self._layer(
            "ConvTranspose",
            (channels, *((size - 1) * stride + kernel for size in self.shape[1:])),
            self._weights(shape, self.channels * (kernel // stride) ** 2, channels),
            **_window(kernel, stride, 0),
        )

    def linear(self, features: int) -> Value:
        """Multiply by a weight matrix [features, inputs] and add a bias."""
        (inputs,) = self.shape
        return self._layer("Gemm", (features,), self._weights((features, inputs), inputs, features), transB=1)

    def batch_norm(self) -> Value:
        """Normalize by random statistics near the estimated ones, then scale and shift at random."""
        network, channels = self.network, self.channels
        scale = network.uniform(channels, 0.6, 1.4)
        shift = network.normal(channels, variance=0.04)
        mean = network.normal(channels, variance=0.04 * self.power)
        variance = network.uniform(channels, 0.5, 1.5) * np.float32(self.power)
        power = np.mean(scale**2 * (self.power + mean**2) / variance + shift**2)
        parameters = {"scale": scale, "shift": shift, "mean": mean, "variance": variance}
        return self._layer("BatchNormalization", self.shape, parameters, power=float(power), epsilon=1e-5)

    # -- activations

    def relu(self) -> Value:
        """max(x, 0)."""
        return self._layer("Relu", self.shape, power=self.power / 2)

    def relu6(self) -> Value:
        """min(max(x, 0), 6), as Clip."""
        bounds = {"min": np.array(0, np.float32), "max": np.array(6, np.float32)}
        return self._layer("Clip", self.shape, bounds, power=self.power / 2)

    def sigmoid(self) -> Value:
        """1 / (1 + exp(−x))."""
        return self._layer("Sigmoid", self.shape, power=0.3)

    def dropout(self, ratio: float = 0.5) -> Value:
        """Do nothing: at inference, Dropout is the identity."""
        return self._layer("Dropout", self.shape, {"ratio": np.array(ratio, np.float32)}, power=self.power)

    # -- pooling

    def max_pool(self, kernel: int, *, stride: int, padding: int = 0, ceil: bool = False) -> Value:
        """Take the maximum of each window; `ceil` keeps a window that sticks out at the end."""
        shape = (self.channels, *_slide(self.shape[1:], kernel, stride, padding, ceil=ceil))
        window = _window(kernel, stride, padding)
        return self._layer("MaxPool", shape, power=self.power * 2, ceil_mode=int(ceil), **window)

    def average_pool(self, kernel: int, *, stride: int, padding: int = 0) -> Value:
        """Take the mean of each window, zero padding included in it."""
        shape = (self.channels, *_slide(self.shape[1:], kernel, stride, padding))
        window = _window(kernel, stride, padding)
        return self._layer("AveragePool", shape, power=self.power / 2, count_include_pad=1, **window)

    def global_average_pool(self) -> Value:
        """Take the mean of each channel."""
        return self._layer("GlobalAveragePool", (self.channels, 1, 1), power=self.power / 3)

    # -- shapes

    def flatten(self) -> Value:
        """Join all dimensions but the batch into one."""
        return self._layer("Flatten", (math.prod(self.shape),), power=self.power, axis=1)

    def split(self, parts: int) -> list[Value]:
        """Cut the channels into equal parts."""
        names = self.network.emit("Split", [self], outputs=parts, axis=1)
        shape = (self.channels // parts, *self.shape[1:])
        return [Value(self.network, name, shape, self.power) for name in names]

    def channel_shuffle(self, groups: int) -> Value:
        """Deal the channels of `groups` groups out in turn (Reshape, Transpose, Reshape)."""
        return self.reshape(groups, self.channels // groups, *self.shape[1:]).swap().reshape(*self.shape)

    def reshape(self, *shape: int) -> Value:
        """Read the same elements as another shape; the batch stays, dynamic or not."""
        target = np.array([0, *shape], np.int64)  # in ONNX a 0 copies the input's dimension
        return self._layer("Reshape", shape, {"shape": target}, power=self.power)

    def swap(self) -> Value:
        """Exchange the first two dimensions after the batch (Transpose)."""
        first, second, *rest = self.shape
        permutation = [0, 2, 1, *range(3, len(self.shape) + 1)]
        return self._layer("Transpose", (second, first, *rest), power=self.power, perm=permutation)

    # -- arithmetic

    def __add__(self, other: Value) -> Value:
        return self._combine("Add", other, self.power + other.power)

    def __mul__(self, other: Value) -> Value:
        return self._combine("Mul", other, self.power * other.power)

    def __truediv__(self, divisor: float) -> Value:
        operand = {"divisor": np.array(divisor, np.float32)}
        return self._layer("Div", self.shape, operand, power=self.power / divisor**2)

    def _combine(self, op_type: str, other: Value, power: float) -> Value:
        if any(size not in (1, own) for own, size in zip(self.shape, other.shape, strict=True)):
            ours, theirs = f"{self.name} {self.shape}", f"{other.name} {other.shape}"
            raise ValueError(f"{op_type} cannot broadcast {theirs} to {ours}")
        (name,) = self.network.emit(op_type, [self, other])
        return Value(self.network, name, self.shape, power)

    def _weights(self, shape: tuple[int, ...], fan_in: int, biases: int) -> dict[str, Array]:
        parameters: dict[str, Array] = {
            "weight": self.network.normal(*shape, variance=1 / (fan_in * self.power)),
        }
        if biases:
            parameters["bias"] = self.network.normal(biases, variance=0.01)
        return parameters

    def _layer(
        self,
        op_type: str,
        shape: tuple[int, ...],
        parameters: Mapping[str, Array] | None = None,
        *,
        power: float = 1.0,
        **attributes: Any,
    ) -> Value:
        (name,) = self.network.emit(op_type, [self], parameters, **attributes)
        return Value(self.network, name, shape, power)


def concat(*values: Value) -> Value:
    """Join along the channels; all must agree in height and width."""
    network, sizes = values[0].network, {value.shape[1:] for value in values}
    if len(sizes) > 1:
        shapes = ", ".join(f"{value.name} {value.shape}" for value in values)
        raise ValueError(f"Concat needs one height and width, got {shapes}; choose another image size")
    channels = sum(value.channels for value in values)
    power = sum(value.power * value.channels for value in values) / channels
    (name,) = network.emit("Concat", values, axis=1)
    return Value(network, name, (channels, *sizes.pop()), power)


def _slide(sizes: Sequence[int], kernel: int, stride: int, padding: int, *, ceil: bool = False) -> tuple[int, ...]:
    """Count the windows along each spatial dimension (ONNX: Conv, MaxPool)."""
    rest = stride - 1 if ceil else 0
    counts = tuple((size + 2 * padding - kernel + rest) // stride + 1 for size in sizes)
    if min(counts) < 1:
        raise ValueError(f"a {kernel}×{kernel} window does not fit {tuple(sizes)}; choose a larger image")
    return counts


def _window(kernel: int, stride: int, padding: int) -> dict[str, Any]:
    return {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
