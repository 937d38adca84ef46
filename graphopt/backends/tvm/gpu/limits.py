"""What launches ask of a GPU, compared with what each of its kind gives."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import tvm
from tvm import tirx
from tvm_ffi import structural_walk

from graphopt.backends.tvm.gpu.plan import Launch
from graphopt.targets import Target

_SHARED = "shared"


def shared_bytes(function: tirx.PrimFunc) -> int:
    """Return the bytes that threads of a block share in a lowered function of a device."""
    allocated: list[tirx.AllocBuffer] = []
    structural_walk(function.body, (tirx.AllocBuffer, allocated.append))
    return sum(_bytes(one.buffer) for one in allocated if one.buffer.scope().startswith(_SHARED))


def check_launches(launches: Iterable[Launch], target: Target) -> None:
    """Raise ValueError where a launch asks for more than every GPU of a target's kind gives."""
    for launch in launches:
        if launch.block_size > target.threads_per_block:
            raise ValueError(
                f"{launch.kernel} asks for {launch.block_size} threads a block, and {target.kind} gives "
                f"{target.threads_per_block}"
            )
        if launch.shared_bytes > target.shared_bytes:
            raise ValueError(
                f"{launch.kernel} asks for {launch.shared_bytes} bytes that threads of a block share, and "
                f"{target.kind} gives {target.shared_bytes}"
            )
        if len(launch.arguments) > target.kernel_arguments:
            raise ValueError(
                f"{launch.kernel} works on {len(launch.arguments)} tensors, and {target.kind} takes "
                f"{target.kernel_arguments}"
            )


def _bytes(buffer: Any) -> int:
    dtype = tvm.DataType(buffer.dtype)
    return math.prod(map(int, buffer.shape)) * int(dtype.bits * dtype.lanes) // 8
