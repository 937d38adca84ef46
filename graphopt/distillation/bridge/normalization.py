"""Normalizations, by stored statistics, by the batch's, or by a sample's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from graphopt.distillation.bridge.call import Call


def batch_normalization(call: Call) -> Tensor | Sequence[Tensor]:
    """BatchNormalization (ONNX operator spec, BatchNormalization-15).

    By the statistics of the batch where it trains; the stored ones follow then, in place, or as further outputs where
    the node itself says that it trains.
    """
    x, scale, shift, mean, variance = (call[index] for index in range(5))
    epsilon, momentum = call.real("epsilon", 1e-5), 1 - call.real("momentum", 0.9)
    if not call.number("training_mode", 0):
        trains = call.mode.batch_statistics
        return functional.batch_norm(x, mean, variance, scale, shift, trains, momentum, epsilon)
    axes = [0, *range(2, x.ndim)]
    running_mean = mean + momentum * (x.mean(axes) - mean)
    running_variance = variance + momentum * (x.var(axes, correction=0) - variance)
    return functional.batch_norm(x, None, None, scale, shift, True, 0.0, epsilon), running_mean, running_variance


def instance_normalization(call: Call) -> Tensor:
    """InstanceNormalization: each channel of each sample by itself."""
    return functional.instance_norm(call[0], weight=call[1], bias=call[2], eps=call.real("epsilon", 1e-5))


def group_normalization(call: Call) -> Tensor:
    """GroupNormalization; scale and bias are one a group in opset 18, one a channel since 21."""
    x, scale, bias = call[0], call[1], call[2]
    groups = call.number("num_groups", 1)
    if call.opset < 21:
        scale, bias = (vector.repeat_interleave(x.shape[1] // groups) for vector in (scale, bias))
    return functional.group_norm(x, groups, scale, bias, call.real("epsilon", 1e-5))


def layer_normalization(call: Call) -> Tensor:
    """LayerNormalization over the axes from `axis` on."""
    x, scale, bias = call[0], call[1], call.get(2)
    axis = call.number("axis", -1) % x.ndim
    normalized = functional.layer_norm(x, x.shape[axis:], eps=call.real("epsilon", 1e-5)) * scale
    return normalized if bias is None else normalized + bias


def rms_normalization(call: Call) -> Tensor:
    """RMSNormalization over the axes from `axis` on (ONNX operator spec, RMSNormalization-23)."""
    x = call[0]
    axis = call.number("axis", -1) % x.ndim
    return functional.rms_norm(x, x.shape[axis:], eps=call.real("epsilon", 1e-5)) * call[1]


def local_response_normalization(call: Call) -> Tensor:
    """LRN over neighbouring channels; of an even size the larger half lies behind (ONNX operator spec, LRN-13)."""
    x, size = call[0], call.number("size", 1)
    squares = (x * x).reshape(x.shape[0], 1, x.shape[1], -1)
    padded = functional.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    sums = functional.avg_pool2d(padded, (size, 1), 1).reshape(x.shape)  # of a mean, and alpha is divided by the size
    return x / (call.real("bias", 1.0) + call.real("alpha", 1e-4) * sums) ** call.real("beta", 0.75)


def lp_normalization(call: Call) -> Tensor:
    """LpNormalization along an axis; where all is zero it stays so."""
    x, axis = call[0], call.number("axis", -1)
    norm = torch.linalg.vector_norm(x, call.number("p", 2), axis, keepdim=True)
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)
