"""Pools over one to three spatial axes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from graphopt.distillation.bridge.call import Call
from graphopt.distillation.bridge.windows import Windows, padded

_MAX = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def max_pool(call: Call) -> Tensor:
    """MaxPool (ONNX operator spec, MaxPool-22)."""
    x = call[0]
    windows = _windows(call)
    padding: tuple[int, ...] | int = windows.begins
    if not windows.is_symmetric or any(
        2 * pad > size for pad, size in zip(windows.begins, windows.kernel, strict=True)
    ):
        x, padding = windows.pad(x, -math.inf), 0
    return _MAX[x.ndim - 2](x, windows.kernel, windows.strides, padding, windows.dilations)


def average_pool(call: Call) -> Tensor:
    """AveragePool (ONNX operator spec, AveragePool-22): sums over windows, by the number of elements that count."""
    x = call[0]
    windows = _windows(call)
    if windows.is_symmetric and not any(windows.begins) and set(windows.dilations) == {1}:
        return _AVERAGE[x.ndim - 2](x, windows.kernel, windows.strides)
    counted = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    if call.number("count_include_pad", 0):
        counted = padded(counted, windows.begins, windows.ends, 1.0)
        counted = padded(counted, [0] * len(windows.extra), windows.extra, 0.0)
    else:
        counted = windows.pad(counted, 0.0)
    return _sums(windows.pad(x, 0.0), windows) / _sums(counted, windows)


def global_average_pool(call: Call) -> Tensor:
    """GlobalAveragePool: the mean of each channel."""
    return call[0].mean(_spatial(call[0]), keepdim=True)


def global_max_pool(call: Call) -> Tensor:
    """GlobalMaxPool: the largest of each channel."""
    return call[0].amax(_spatial(call[0]), keepdim=True)


def _windows(call: Call) -> Windows:
    return Windows.of(call, tuple(call[0].shape[2:]), tuple(call.ints("kernel_shape") or ()))


def _sums(x: Tensor, windows: Windows) -> Tensor:
    """Sum each window of each channel."""
    ones = torch.ones((1, 1, *windows.kernel), dtype=x.dtype)
    single = x.reshape(-1, 1, *x.shape[2:])
    sums = _CONVOLVE[x.ndim - 2](single, ones, None, windows.strides, 0, windows.dilations)
    return sums.reshape(*x.shape[:2], *sums.shape[2:])


def _spatial(x: Tensor) -> list[int]:
    return list(range(2, x.ndim))
