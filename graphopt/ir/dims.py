"""What can be said about shapes that are known in part."""

from __future__ import annotations

import onnx_ir as ir


def same_dim(left: int | ir.SymbolicDim, right: int | ir.SymbolicDim) -> bool:
    """Whether two dimensions are equal in every run; two that are unknown may differ."""
    return left == right and (isinstance(left, int) or left.value is not None)


def same_shape(left: ir.Value | None, right: ir.Value | None) -> bool:
    """Whether two values have the same shape in every run."""
    if left is None or right is None or left.shape is None or right.shape is None:
        return False
    return len(left.shape) == len(right.shape) and all(map(same_dim, left.shape, right.shape))


def broadcasts_into(value: ir.Value | None, other: ir.Value | None) -> bool:
    """Whether broadcasting the two together leaves the shape of `other` as it is."""
    if value is None or value.shape is None:
        return False
    if len(value.shape) == 0:
        return True
    if other is None or other.shape is None or len(value.shape) > len(other.shape):
        return False
    aligned = other.shape[len(other.shape) - len(value.shape) :]
    return all(dim == 1 or same_dim(dim, wide) for dim, wide in zip(value.shape, aligned, strict=True))
