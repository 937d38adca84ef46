"""From what a caller passes to one checked array per input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphopt.errors import RunError
from graphopt.tensors import Array, TensorSpec

_HOSTS = {1, 3}
"""Kinds of devices (`DLDeviceType`) whose memory the processor reads: itself, and what it lends to CUDA."""
_DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "CUDA", 14: "oneAPI", 15: "WebGPU"}


def bind(specs: Sequence[TensorSpec], arguments: tuple[object, ...]) -> dict[str, object]:
    """Give the positional arguments of a call the names of the inputs; one mapping goes by names already.

    Raises:
        RunError: another count than there are inputs, or an argument that is no array.

    """
    if len(arguments) == 1 and isinstance(arguments[0], Mapping):
        return dict(arguments[0])
    if len(arguments) != len(specs):
        raise RunError(f"the model has {_count(len(specs), 'input')} ({_names(specs)}), {len(arguments)} given")
    return {
        spec.name: argument if _is_tensor(argument) else _array(spec, argument)
        for spec, argument in zip(specs, arguments, strict=True)
    }


def check(specs: Sequence[TensorSpec], feeds: Mapping[str, object]) -> dict[str, Array]:
    """Return the feeds as arrays in the order of the inputs, after checking names and dtypes.

    Nothing is cast in silence: a cast would hide a mistake or a cost. Tensors of other libraries that lie in memory of
    the processor, those of PyTorch for one, are read where they are (DLPack).

    Raises:
        RunError: naming the input and the mend.

    """
    known = [spec.name for spec in specs]
    if unknown := [name for name in feeds if name not in known]:
        raise RunError(f"the model has no input {unknown[0]!r}; it has {_names(specs)}")
    if missing := [name for name in known if name not in feeds]:
        raise RunError(f"input {missing[0]!r} is missing; the model has {_names(specs)}")
    arrays = {spec.name: _array(spec, feeds[spec.name]) for spec in specs}
    for spec in specs:
        _check_dtype(spec, arrays[spec.name], feeds[spec.name])
    return arrays


def check_shapes(specs: Sequence[TensorSpec], arrays: Mapping[str, Array]) -> None:
    """Compare shapes with those of the inputs; dimensions of one symbol must agree.

    Raises:
        RunError: naming the input and what its shape must be.

    """
    symbols: dict[str, int] = {}
    for spec in specs:
        _check_shape(spec, arrays[spec.name], symbols)


def _is_tensor(value: object) -> bool:
    """Whether it is an array of another library, which lends its memory by DLPack."""
    return not isinstance(value, np.ndarray | np.generic) and hasattr(value, "__dlpack__")


def _array(spec: TensorSpec, value: object) -> Array:
    if _is_tensor(value):
        return _borrowed(spec, value)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise RunError(f"input {spec.name!r} is no array: its rows differ in length; the model takes {spec}") from error


def _borrowed(spec: TensorSpec, tensor: Any) -> Array:
    """Return the memory of a tensor as an array."""
    try:
        kind, _ = tensor.__dlpack_device__()
        if kind in _HOSTS:
            return np.from_dlpack(tensor)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RunError(f"input {spec.name!r} cannot be read where it is: {reason}") from error
    device = _DEVICES.get(int(kind), f"kind {int(kind)}")
    raise RunError(
        f"input {spec.name!r} lies in the memory of a device ({device}), and a program takes arrays in that of the "
        "processor; move it there first, in PyTorch with .cpu()"
    )


def _check_dtype(spec: TensorSpec, array: Array, given: object) -> None:
    if spec.dtype == "object" and array.dtype.kind in "OU":
        return
    if array.dtype.name != spec.dtype:
        how = "" if _is_tensor(given) else f" with .astype({spec.dtype!r})"
        raise RunError(f"input {spec.name!r} must be {spec.dtype}, got {array.dtype.name}; convert it{how}")


def _check_shape(spec: TensorSpec, array: Array, symbols: dict[str, int]) -> None:
    if spec.shape is None:
        return
    if array.ndim != len(spec.shape):
        raise RunError(f"input {spec.name!r} has {_count(array.ndim, 'dimension')}, the model takes {spec}")
    for axis, (size, dim) in enumerate(zip(array.shape, spec.shape, strict=True)):
        expected = symbols.setdefault(dim, size) if isinstance(dim, str) else dim
        if expected is not None and size != expected:
            raise RunError(
                f"input {spec.name!r} has shape {list(array.shape)}, but dimension {axis} must be {expected}"
                f" (the model takes {spec})"
            )


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
