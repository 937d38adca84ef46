"""How far two constants are from each other; one may be quantized, behind a DequantizeLinear."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.inspect.diff.record import Reweighted
from graphopt.ir.constants import constant, constant_tensor, is_constant
from graphopt.ir.walk import is_op
from graphopt.tensors import Array


def reweighted(
    before: ir.Value, after: ir.Value, where: str, readers: tuple[str, ...], made_by: tuple[str, ...]
) -> Reweighted:
    """Compare two constants, by what they stand for; raises ValueError where one of the values is none."""
    one, other = stored(before), stored(after)
    left, right = (constant_tensor(value) if value is not None else None for value in (one, other))
    if left is None or right is None:
        raise ValueError(f"{before.name!r} or {after.name!r} is no constant")
    numbers = [
        held.numpy() if value is kept else _dequantized(value)
        for value, kept, held in ((before, one, left), (after, other, right))
    ]
    changed, largest, relative = (None, None, None)
    if numbers[0] is not None and numbers[1] is not None:
        changed, largest, relative = _distance(numbers[0], numbers[1])
    return Reweighted(
        constant=str(one.name if one is not None else before.name),
        after_constant=str(other.name if other is not None else after.name),
        where=where,
        readers=readers,
        dtype=left.dtype.name.lower(),
        after_dtype=right.dtype.name.lower(),
        shape=tuple(left.shape.numpy()),
        after_shape=tuple(right.shape.numpy()),
        elements=right.size,
        changed=changed,
        largest=largest,
        relative=relative,
        quantized=one is not before or other is not after,
        made_by=made_by,
    )


def stored(value: ir.Value) -> ir.Value | None:
    """Return the constant that holds the content of a value, the integers where it is dequantized; None for others."""
    if constant_tensor(value) is not None:
        return value
    node = value.producer()
    if is_op(node, "DequantizeLinear") and node is not None and all(map(is_constant, filter(None, node.inputs))):
        return node.inputs[0]
    return None


def _dequantized(value: ir.Value) -> Array | None:
    """Return (q − z)·s of a DequantizeLinear of constants (ONNX operator spec); None for blocks, which are rare."""
    node = value.producer()
    if node is None:
        return None
    integers, scale, zero = (constant(given) for given in (*node.inputs, None)[:3])
    if integers is None or scale is None:
        return None
    levels, step = integers.astype(np.float64), scale.astype(np.float64)
    shift = np.zeros_like(step) if zero is None else zero.astype(np.float64)
    if step.size > 1:
        axis = node.attributes.get_int("axis", 1)
        if step.ndim != 1 or not -levels.ndim <= axis < levels.ndim:
            return None
        along = [1] * levels.ndim
        along[axis] = -1
        step, shift = step.reshape(along), shift.reshape(along)
    else:
        step, shift = step.reshape(()), shift.reshape(())
    numbers: Array = (levels - shift) * step
    return numbers


def _distance(one: Array, other: Array) -> tuple[int | None, float | None, float | None]:
    """Return how many elements differ, the largest difference, and the relative norm of the difference."""
    if one.shape != other.shape:
        return None, None, None
    if one.dtype.kind in "OSUc" or other.dtype.kind in "OSUc":
        return int(np.count_nonzero(one != other)), None, None
    left, right = one.astype(np.float64), other.astype(np.float64)
    differs = ~((left == right) | (np.isnan(left) & np.isnan(right)))
    with np.errstate(invalid="ignore", over="ignore"):  # ∞ − ∞
        gap = right[differs] - left[differs]
        largest, norm, error = (float(np.abs(gap).max(initial=0.0)), *map(float, map(np.linalg.norm, (left, gap))))
    return int(np.count_nonzero(differs)), largest, error / norm if norm else None
