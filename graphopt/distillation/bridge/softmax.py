"""Softmax and its logarithm, over one axis or, up to opset 12, over all from one on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphopt.distillation.bridge.call import Call


def softmax(call: Call) -> Tensor:
    """Softmax (ONNX operator spec, Softmax-13)."""
    return _along(call, torch.softmax)


def log_softmax(call: Call) -> Tensor:
    """LogSoftmax (ONNX operator spec, LogSoftmax-13)."""
    return _along(call, torch.log_softmax)


def _along(call: Call, function: Callable[[Tensor, int], Tensor]) -> Tensor:
    x = call[0]
    if call.opset >= 13:
        return function(x, call.number("axis", -1))
    axis = call.number("axis", 1) % max(x.ndim, 1)
    return function(x.flatten(axis), -1).reshape(x.shape)
