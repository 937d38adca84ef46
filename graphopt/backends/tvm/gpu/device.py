"""What a plan is executed on: memory and kernels of a GPU, as OpenCL and CUDA's driver have them.

This is the runtime side: it imports no part of the compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphopt.backends.tvm.gpu.plan import Launch
from graphopt.tensors import Array


@dataclass(frozen=True)
class Limits:
    """What a device gives a kernel: threads of a block along each axis and in all, bytes of memory that they share."""

    axes: tuple[int, int, int]
    threads: int
    shared_bytes: int


class Device(Protocol):
    """One device. What it is asked for happens in the order in which it is asked; a run is begun by `begin`.

    Memory is whatever `allocate` and `view` return, and is freed with the last reference to it.
    """

    @property
    def name(self) -> str:
        """As its driver says it."""

    @property
    def alignment(self) -> int:
        """The bytes of which the beginning of a view must be a multiple."""

    def begin(self) -> None:
        """Prepare the calling thread, which may be another than before."""

    def allocate(self, size: int) -> Any:
        """Return memory of that many bytes, one at least; raises RunError where it has not as many."""

    def view(self, memory: Any, offset: int) -> Any:
        """Return what begins at a byte of allocated memory."""

    def upload(self, array: Array, memory: Any) -> None:
        """Copy a contiguous array to the device; it may change when this returns."""

    def download(self, memory: Any, array: Array) -> None:
        """Copy to a contiguous array; what was asked for before is done when this returns."""

    def copy(self, source: Any, destination: Any, size: int) -> None:
        """Copy bytes on the device."""

    def load(self, code: bytes, names: Sequence[str]) -> dict[str, Any]:
        """Return the kernels of those names; raises TargetError where the device takes no such code."""

    def limits(self, kernel: Any) -> Limits:
        """Return what it gives a kernel."""

    def prepared(self, kernel: Any, launch: Launch, arguments: Sequence[Any]) -> Callable[[], None]:
        """Return what launches a kernel on memory."""
