"""Activations, with the numbers that ONNX takes where an attribute is left out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from graphopt.distillation.bridge.call import Call, Operator
from graphopt.distillation.bridge.elementwise import unary

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def elu(call: Call) -> Tensor:
    """Elu: α·(eˣ - 1) below zero."""
    return functional.elu(call[0], call.real("alpha", 1.0))


def celu(call: Call) -> Tensor:
    """Celu: α·(e^(x/α) - 1) below zero."""
    return functional.celu(call[0], call.real("alpha", 1.0))


def selu(call: Call) -> Tensor:
    """Selu: γ·x, and γ·α·(eˣ - 1) below zero."""
    alpha, gamma = call.real("alpha", _SELU_ALPHA), call.real("gamma", _SELU_GAMMA)
    return gamma * functional.elu(call[0], alpha)


def gelu(call: Call) -> Tensor:
    """Gelu, exact or by tanh."""
    return functional.gelu(call[0], approximate=call.text("approximate", "none"))


def hard_sigmoid(call: Call) -> Tensor:
    """HardSigmoid: α·x + β between 0 and 1."""
    return torch.clamp(call.real("alpha", 0.2) * call[0] + call.real("beta", 0.5), 0, 1)


def leaky_relu(call: Call) -> Tensor:
    """LeakyRelu: α·x below zero."""
    return functional.leaky_relu(call[0], call.real("alpha", 0.01))


def parametric_relu(call: Call) -> Tensor:
    """PRelu: slope·x below zero, the slope broadcast to x."""
    return torch.where(call[0] < 0, call[1] * call[0], call[0])


def softplus(call: Call) -> Tensor:
    """Softplus: log(eˣ + 1), which PyTorch would cut off at 20."""
    return torch.logaddexp(call[0], torch.zeros((), dtype=call[0].dtype))


def swish(call: Call) -> Tensor:
    """Swish: x · sigmoid(α·x)."""
    return call[0] * torch.sigmoid(call.real("alpha", 1.0) * call[0])


def thresholded_relu(call: Call) -> Tensor:
    """ThresholdedRelu: x above α, else 0."""
    return torch.where(call[0] > call.real("alpha", 1.0), call[0], torch.zeros_like(call[0]))


ACTIVATIONS: Mapping[str, Operator] = {
    "Celu": celu,
    "Elu": elu,
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": unary(functional.hardswish),
    "LeakyRelu": leaky_relu,
    "Mish": unary(functional.mish),
    "PRelu": parametric_relu,
    "Relu": unary(torch.relu),
    "Selu": selu,
    "Sigmoid": unary(torch.sigmoid),
    "Softplus": softplus,
    "Softsign": unary(functional.softsign),
    "Swish": swish,
    "Tanh": unary(torch.tanh),
    "ThresholdedRelu": thresholded_relu,
}
