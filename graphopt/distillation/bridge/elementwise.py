"""Arithmetic and comparisons, element by element with numpy's broadcasting."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from graphopt.distillation.bridge.call import Call, Operator


def divide(call: Call) -> Tensor:
    """Div; integers are cut off towards zero."""
    rounding = None if call[0].is_floating_point() else "trunc"
    return torch.div(call[0], call[1], rounding_mode=rounding)


def power(call: Call) -> Tensor:
    """Pow, in the type of the base."""
    return torch.pow(call[0], call[1].to(call[0].dtype))


def modulo(call: Call) -> Tensor:
    """Mod; the sign is the dividend's with `fmod`, else the divisor's."""
    return torch.fmod(call[0], call[1]) if call.number("fmod", 0) else torch.remainder(call[0], call[1])


def mean(call: Call) -> Tensor:
    """Mean of any number of tensors."""
    return functools.reduce(torch.add, call.present) / len(call.present)


def clip(call: Call) -> Tensor:
    """Clip; the limits are attributes up to opset 10, inputs since, and may be left out."""
    least, greatest = call.get(1), call.get(2)
    if "min" in call.node.attributes:
        least = torch.tensor(call.real("min", 0.0), dtype=call[0].dtype)
    if "max" in call.node.attributes:
        greatest = torch.tensor(call.real("max", 0.0), dtype=call[0].dtype)
    return call[0] if least is None and greatest is None else torch.clamp(call[0], least, greatest)


def where(call: Call) -> Tensor:
    """Where; the condition has no gradient."""
    return torch.where(call[0], call[1], call[2])


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    """Make an operator of a function of one tensor."""
    return lambda call: function(call[0])


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Make an operator of a function of two tensors."""
    return lambda call: function(call[0], call[1])


def variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Make an operator of any number of tensors of a function of two."""
    return lambda call: functools.reduce(function, call.present)


ELEMENTWISE: Mapping[str, Operator] = {
    "Abs": unary(torch.abs),
    "Acos": unary(torch.acos),
    "Add": binary(torch.add),
    "And": binary(torch.logical_and),
    "Asin": unary(torch.asin),
    "Atan": unary(torch.atan),
    "Ceil": unary(torch.ceil),
    "Clip": clip,
    "Cos": unary(torch.cos),
    "Cosh": unary(torch.cosh),
    "Div": divide,
    "Equal": binary(torch.eq),
    "Erf": unary(torch.erf),
    "Exp": unary(torch.exp),
    "Floor": unary(torch.floor),
    "Greater": binary(torch.gt),
    "GreaterOrEqual": binary(torch.ge),
    "Less": binary(torch.lt),
    "LessOrEqual": binary(torch.le),
    "Log": unary(torch.log),
    "Max": variadic(torch.maximum),
    "Mean": mean,
    "Min": variadic(torch.minimum),
    "Mod": modulo,
    "Mul": binary(torch.mul),
    "Neg": unary(torch.neg),
    "Not": unary(torch.logical_not),
    "Or": binary(torch.logical_or),
    "Pow": power,
    "Reciprocal": unary(torch.reciprocal),
    "Round": unary(torch.round),
    "Sign": unary(torch.sign),
    "Sin": unary(torch.sin),
    "Sinh": unary(torch.sinh),
    "Sqrt": unary(torch.sqrt),
    "Sub": binary(torch.sub),
    "Sum": variadic(torch.add),
    "Tan": unary(torch.tan),
    "Where": where,
    "Xor": binary(torch.logical_xor),
}
