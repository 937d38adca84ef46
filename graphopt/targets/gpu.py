"""What each device of a kind gives a kernel: the least that its standard promises, or that all GPUs have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VECTOR_BYTES = 64
"""Of the widest registers of processors, and enough for GPUs that have no say in where tensors lie."""


@dataclass(frozen=True)
class Gpu:
    """Facts of a kind of GPUs.

    Attributes:
        threads: in a block, at most.
        shared_bytes: of memory that these share.
        arguments: tensors of a kernel, at most.
        alignment: of each tensor in an arena, in bytes.
        launched: whether there is an executor that launches its kernels.

    """

    threads: int
    shared_bytes: int
    arguments: int
    alignment: int
    launched: bool


GPUS: Mapping[str, Gpu] = {
    "cuda": Gpu(1024, 48 << 10, 512, VECTOR_BYTES, launched=True),
    # NVIDIA's have the largest CL_DEVICE_MEM_BASE_ADDR_ALIGN, 4096 bits.
    "opencl": Gpu(256, 32 << 10, 128, 512, launched=True),
    "metal": Gpu(256, 32 << 10, 31, 256, launched=False),  # with 1024 threads, TVM's rules take a minute
    "webgpu": Gpu(256, 16 << 10, 8, 256, launched=False),
}
"""By the kind of target."""
