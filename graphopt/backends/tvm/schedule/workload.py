"""What a kernel computes, as a key: equal in every process and for every model that has the same kernel."""

from __future__ import annotations

from tvm import tirx
from tvm_ffi import structural_hash


def workload_key(function: tirx.PrimFunc) -> str:
    """Return a key of a fused kernel before it is scheduled; names play no part in it.

    It hashes what is computed, and beside that tells the shapes, so that two kernels of one hash would have to agree
    in these as well.
    """
    shapes = "_".join("x".join(map(str, shape)) for shape in parameter_shapes(function))
    return f"{structural_hash(function):016x}-{shapes}"


def parameter_shapes(function: tirx.PrimFunc) -> list[tuple[int, ...]]:
    """Return the shapes of what a kernel takes and makes, the latter at the end; a scalar has none."""
    return [tuple(map(int, getattr(parameter.ty, "shape", ()))) for parameter in function.params]
