"""How far two constants are from each other."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.inspect.diff.record import Reweighted
from graphopt.ir.constants import constant_tensor
from graphopt.tensors import Array


def reweighted(
    before: ir.Value, after: ir.Value, where: str, readers: tuple[str, ...], made_by: tuple[str, ...]
) -> Reweighted:
    """Compare two constants; raises ValueError where one of the values is none."""
    one, other = constant_tensor(before), constant_tensor(after)
    if one is None or other is None:
        raise ValueError(f"{before.name!r} or {after.name!r} is no constant")
    changed, largest, relative = _distance(one.numpy(), other.numpy())
    return Reweighted(
        constant=str(before.name),
        after_constant=str(after.name),
        where=where,
        readers=readers,
        dtype=one.dtype.name.lower(),
        after_dtype=other.dtype.name.lower(),
        shape=tuple(one.shape.numpy()),
        after_shape=tuple(other.shape.numpy()),
        elements=other.size,
        changed=changed,
        largest=largest,
        relative=relative,
        made_by=made_by,
    )


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
