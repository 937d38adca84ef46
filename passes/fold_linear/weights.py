"""When a linear operator may get a new weight."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.walk import label
from graphopt.rewrite import Builder, Match, Refused
from graphopt.rewrite.affine import Float64, real
from graphopt.tensors import Array

COPIED_BYTES = 16_384
"""A weight that other nodes read too may be copied up to this size: about what one node less is worth."""

GEMM_TYPES = frozenset({ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE})
"""Element types that runtimes have both MatMul and Gemm for."""


def is_real(array: Array) -> bool:
    """Whether elements are floating-point numbers; the algebra of integers that overflow is another one."""
    return ir.DataType.from_numpy(array.dtype).is_floating_point()


def new_weight(match: Match, build: Builder, weight: Float64) -> ir.Value:
    """Return the constant that replaces the matched "weight": that itself, where nothing changes.

    Raises:
        Refused: it overflows, loses digits, or is large and would stand beside the old one.

    """
    old, dtype = match["weight"], match.dtype("weight")
    if np.array_equal(weight, match.constant("weight")):
        return old
    refuse_copy(match, old)
    value = build.constant("weight", weight, dtype)
    if _loses_digits(weight, dtype):
        raise Refused(f"the new weight would be so small that {dtype.name.lower()} loses digits")
    return value


def bias_of(match: Match) -> Float64:
    """Return the matched "bias", or zero."""
    return real(match, "bias") if "bias" in match else np.zeros(1)


def refuse_copy(match: Match, weight: ir.Value) -> None:
    """Raise Refused where a large constant has readers outside of a match, and so would stay."""
    reader = other_reader(match, weight)
    if reader is not None and weight.const_value is not None and weight.const_value.nbytes > COPIED_BYTES:
        size = weight.const_value.nbytes
        raise Refused(f"{label(reader)} reads the weight {weight.name!r} too, and a copy has {size:,} bytes")


def other_reader(match: Match, value: ir.Value) -> ir.Node | None:
    """Return a node outside of the match that reads a value."""
    return next((node for node, _ in value.uses() if node not in match.nodes), None)


def check_growth(name: str, new: Float64, *old: Array) -> None:
    """Raise Refused where a constant would have more elements than those it replaces, and many."""
    before = sum(array.size for array in old)
    if new.size > before and new.nbytes > COPIED_BYTES:
        raise Refused(f"the new {name} would have {new.size:,} elements where there are {before:,}")


def _loses_digits(weight: Float64, dtype: ir.DataType) -> bool:
    """Whether even the largest element lies where numbers of that type get coarser."""
    largest = np.abs(weight).max(initial=0.0)
    rounded = np.float64(np.asarray(largest).astype(dtype.numpy()))
    return bool(abs(rounded - largest) > largest * 2.0**-8)
