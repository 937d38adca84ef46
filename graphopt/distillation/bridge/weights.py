"""From what an optimizer changes to the weight that a network computes with, and to what the model stores.

A constraint is a change of variables, so that gradients know of it: a mask multiplies, a code book is gathered from,
integers are rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from graphopt.distillation.bridge.quantization import rounded, scales
from graphopt.distillation.constraints import Codebook, Constraint, Frozen, Mask
from graphopt.errors import ModelError
from graphopt.ir.constants import constant
from graphopt.quantization.affine import limits_of
from graphopt.tensors import Array


class Weight(Protocol):
    """How a tensor that is free to change makes a weight."""

    def initial(self, weight: Tensor) -> Tensor:
        """Return the free tensor that makes a given weight."""

    def value(self, free: Tensor) -> Tensor:
        """Return the weight of a free tensor, with gradients."""


@dataclass(frozen=True)
class Plain:
    """The weight itself."""

    def initial(self, weight: Tensor) -> Tensor:
        """Return it."""
        return weight

    def value(self, free: Tensor) -> Tensor:
        """Return it."""
        return free


@dataclass(frozen=True)
class Masked:
    """A weight with elements that are zero; `kept` is 1 or 0."""

    kept: Tensor

    def initial(self, weight: Tensor) -> Tensor:
        """Return the weight with these elements zero."""
        return weight * self.kept

    def value(self, free: Tensor) -> Tensor:
        """Return the same; no gradient reaches the zeros."""
        return free * self.kept


@dataclass(frozen=True)
class Shared:
    """A weight whose elements are read from a table of values."""

    indices: Tensor

    def initial(self, weight: Tensor) -> Tensor:
        """Return the table, of each number the mean of its elements."""
        flat = self.indices.reshape(-1)
        sums = torch.zeros(int(flat.max()) + 1, dtype=weight.dtype).index_add(0, flat, weight.reshape(-1))
        return sums / torch.bincount(flat, minlength=len(sums)).clamp(min=1)

    def value(self, free: Tensor) -> Tensor:
        """Return the weight; gradients of elements with the same number are summed."""
        return free[self.indices]


@dataclass(frozen=True)
class Integers:
    """A weight that the model stores in integers: real numbers of which the network sees the rounded ones.

    Attributes:
        inner: what makes the real numbers.
        scale, zero_point: of the DequantizeLinear that reads the integers, in a shape that broadcasts.
        limits: the least and the greatest integer.

    """

    inner: Weight
    scale: Tensor
    zero_point: Tensor
    limits: tuple[int, int]

    def initial(self, weight: Tensor) -> Tensor:
        """Return the real numbers that integers stand for."""
        return self.inner.initial((weight - self.zero_point) * self.scale)

    def value(self, free: Tensor) -> Tensor:
        """Return whole numbers, with straight-through gradients."""
        steps = rounded(self.inner.value(free) / self.scale) + self.zero_point
        return torch.clamp(steps, *self.limits)


def weight_of(value: ir.Value, constraint: Constraint | None, dtype: torch.dtype) -> Weight | None:
    """Return how an initializer is made of what training changes, None where it is frozen.

    Raises:
        ModelError: the constraint is of another shape.

    """
    if isinstance(constraint, Frozen):
        return None
    inner = _constrained(value, constraint, dtype)
    if value.dtype is None or value.dtype.is_floating_point():
        return inner
    node = next(iter(value.uses())).node
    scale, zero_point = (constant(node.inputs[index]) if len(node.inputs) > index else None for index in (1, 2))
    if scale is None or value.const_value is None:
        return None
    integers = torch.from_numpy(value.const_value.numpy().astype(np.int64))
    zeros = None if zero_point is None else torch.from_numpy(zero_point.astype(np.int64))
    spread = scales(node, torch.from_numpy(scale.astype(np.float64)).to(dtype), zeros, integers)
    return Integers(inner, *spread, limits_of(value.dtype.numpy()))


def _constrained(value: ir.Value, constraint: Constraint | None, dtype: torch.dtype) -> Weight:
    match constraint:
        case Mask(kept):
            return Masked(torch.from_numpy(_fitting(value, kept)).to(dtype))
        case Codebook(indices):
            return Shared(torch.from_numpy(_fitting(value, indices).astype(np.int64)))
        case _:
            return Plain()


def _fitting(value: ir.Value, array: Array) -> Array:
    shape = tuple(value.const_value.shape.numpy()) if value.const_value is not None else ()
    if array.shape != shape:
        raise ModelError(
            f"the constraint of initializer {value.name!r} has shape {array.shape} instead of {shape}; "
            "make it for this model"
        )
    return np.ascontiguousarray(array)
