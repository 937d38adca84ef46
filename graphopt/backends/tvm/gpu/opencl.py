"""Devices of OpenCL, by pyopencl, which brings the loader of drivers along; a driver is what a system installs.

This is the runtime side: it imports no part of the compiler.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from graphopt.backends.tvm.gpu.device import Limits
from graphopt.backends.tvm.gpu.plan import Launch
from graphopt.errors import RunError, TargetError
from graphopt.tensors import Array

_INSTALL = "install the driver of your GPU, or for a device that is the processor PoCL (Debian: pocl-opencl-icd)"
_ROUNDED = "-cl-fp32-correctly-rounded-divide-sqrt"
"""Without it quotients may be off by two units in the last place."""


class OpenClDevice:
    """A device with a queue of its own.

    Args:
        wanted: a part of its name or its platform's; empty for the first GPU, or else the first device.

    """

    def __init__(self, wanted: str = "") -> None:
        self._cl = _pyopencl()
        self._device = _chosen(self._cl, wanted)
        self._context = _context(self._cl, self._device)
        self._queue = self._cl.CommandQueue(self._context)

    @property
    def name(self) -> str:
        """As its driver says it."""
        return str(self._device.name).strip()

    @property
    def alignment(self) -> int:
        """The bytes of which the beginning of a view must be a multiple."""
        return int(self._device.mem_base_addr_align) // 8

    def begin(self) -> None:
        """Do nothing: OpenCL's functions may be called by any thread."""

    def allocate(self, size: int) -> Any:
        """Return memory of that many bytes, one at least."""
        most = int(self._device.max_mem_alloc_size)
        if size > most:
            raise RunError(f"the device {self.name!r} gives at most {most} bytes at once, and {size} are needed")
        try:
            return self._cl.Buffer(self._context, self._cl.mem_flags.READ_WRITE, max(size, 1))
        except self._cl.Error as error:
            raise RunError(f"the device {self.name!r} has no memory for {size} bytes more ({error})") from error

    def view(self, memory: Any, offset: int) -> Any:
        """Return what begins at a byte of allocated memory."""
        return memory.get_sub_region(offset, memory.size - offset)

    def upload(self, array: Array, memory: Any) -> None:
        """Copy a contiguous array to the device."""
        if array.nbytes:
            self._do(self._cl.enqueue_copy, memory, _bytes(array), is_blocking=True)

    def download(self, memory: Any, array: Array) -> None:
        """Copy to a contiguous array."""
        if array.nbytes:
            self._do(self._cl.enqueue_copy, _bytes(array), memory, is_blocking=True)

    def copy(self, source: Any, destination: Any, size: int) -> None:
        """Copy bytes on the device."""
        if size:
            self._do(self._cl.enqueue_copy, destination, source, byte_count=size)

    def load(self, code: bytes, names: Sequence[str]) -> dict[str, Any]:
        """Compile sources for the device; return the kernels of those names."""
        if not names:
            return {}
        exact = self._device.single_fp_config & self._cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self._cl.CompilerWarning)
                program = self._cl.Program(self._context, code.decode()).build([_ROUNDED] if exact else [])
            return {name: self._cl.Kernel(program, name) for name in names}
        except self._cl.Error as error:
            raise TargetError(
                f"the device {self.name!r} takes no such kernels: {_first_error(str(error))}; compile for cpu"
            ) from error

    def limits(self, kernel: Any) -> Limits:
        """Return what it gives a kernel."""
        threads = kernel.get_work_group_info(self._cl.kernel_work_group_info.WORK_GROUP_SIZE, self._device)
        x, y, z = map(int, self._device.max_work_item_sizes[:3])
        return Limits((x, y, z), int(threads), int(self._device.local_mem_size))

    def prepared(self, kernel: Any, launch: Launch, arguments: Sequence[Any]) -> Callable[[], None]:
        """Return what launches a kernel on memory."""
        own = self._cl.Kernel(kernel.program, launch.kernel)  # a kernel holds its arguments
        own.set_args(*arguments)
        items = tuple(blocks * threads for blocks, threads in zip(launch.blocks, launch.threads, strict=True))
        return partial(self._do, self._cl.enqueue_nd_range_kernel, own, items, launch.threads)

    def _do(self, enqueue: Callable[..., object], *arguments: Any, **options: Any) -> None:
        try:
            enqueue(self._queue, *arguments, **options)
        except self._cl.Error as error:
            raise RunError(f"the device {self.name!r} failed: {error}") from error


def _bytes(array: Array) -> Array:
    """Return the memory of a contiguous array; numpy lends no memory of the types of ml_dtypes."""
    return array.reshape(-1).view(np.uint8)


def _pyopencl() -> Any:
    try:
        import pyopencl  # noqa: PLC0415  # not every program needs it
    except ImportError as error:
        raise TargetError(
            "a program for opencl is run by pyopencl, which is not installed; run: pip install graphopt[opencl]"
        ) from error
    return pyopencl


@cache
def _context(cl: Any, device: Any) -> Any:
    """Return the one context of a device, in which the parts of programs share weights."""
    return cl.Context([device])


def _chosen(cl: Any, wanted: str) -> Any:
    """Return the device to take of all that there are."""
    try:
        platforms = cl.get_platforms()
    except cl.Error:  # the loader found no driver
        platforms = []
    devices = [device for platform in platforms for device in _devices(cl, platform)]
    if not devices:
        raise TargetError(f"the program is for opencl, and this machine has no device of OpenCL; {_INSTALL}")
    order = cl.device_type.GPU, cl.device_type.ACCELERATOR, cl.device_type.CPU
    devices.sort(key=lambda device: next((rank for rank, kind in enumerate(order) if device.type & kind), len(order)))
    for device in devices:
        if wanted.lower() in f"{device.platform.name} {device.name}".lower():
            return device
    there = ", ".join(repr(f"{device.platform.name} {device.name}".strip()) for device in devices)
    raise TargetError(f"the program is for a device of OpenCL whose name has {wanted!r} in it; there is {there}")


def _devices(cl: Any, platform: Any) -> list[Any]:
    try:
        return list(platform.get_devices())
    except cl.Error:  # a driver without a device
        return []


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no reason given")
