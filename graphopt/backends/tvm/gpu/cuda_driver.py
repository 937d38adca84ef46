"""GPUs of NVIDIA's, by the functions of their driver (`cuda.h`): it is all that a program for cuda needs to run.

This is the runtime side: it imports no part of the compiler.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any

from graphopt.backends.tvm.gpu.device import Limits
from graphopt.backends.tvm.gpu.plan import Launch
from graphopt.errors import RunError, TargetError
from graphopt.tensors import Array

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR, _BLOCK_X, _BLOCK_Y, _BLOCK_Z, _SHARED = 75, 76, 2, 3, 4, 8
"""Attributes of a device (`CUdevice_attribute`)."""
_THREADS = 0
"""An attribute of a kernel (`CUfunction_attribute`)."""
_POINTER = c_uint64
"""`CUdeviceptr`."""
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(_POINTER), c_size_t),
    "cuMemFree_v2": (_POINTER,),
    "cuMemcpyHtoD_v2": (_POINTER, c_void_p, c_size_t),
    "cuMemcpyDtoH_v2": (c_void_p, _POINTER, c_size_t),
    "cuMemcpyDtoD_v2": (_POINTER, _POINTER, c_size_t),
    "cuModuleLoadData": (POINTER(c_void_p), c_char_p),
    "cuModuleGetFunction": (POINTER(c_void_p), c_void_p, c_char_p),
    "cuFuncGetAttribute": (POINTER(c_int), c_int, c_void_p),
    "cuLaunchKernel": (c_void_p, *[c_uint] * 7, c_void_p, POINTER(c_void_p), POINTER(c_void_p)),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
}


class CudaDevice:
    """The first GPU; raises TargetError where there is none, or none that runs code for `arch`."""

    def __init__(self, arch: str) -> None:
        self._driver = _driver()
        self._device = _first_gpu(self._driver, arch)
        self._context = c_void_p()
        self._do("cuDevicePrimaryCtxRetain", byref(self._context), self._device)

    @property
    def name(self) -> str:
        """As its driver says it."""
        return _name(self._driver, self._device)

    @property
    def alignment(self) -> int:
        """The bytes of which the beginning of a view must be a multiple: kernels read vectors of four numbers."""
        return 16

    def begin(self) -> None:
        """Make the device that of the calling thread."""
        self._do("cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> _Memory:
        """Return memory of that many bytes, one at least."""
        pointer = _POINTER()
        self._do("cuMemAlloc_v2", byref(pointer), max(size, 1))
        return _Memory(self._driver, self._context, pointer.value or 0)

    def view(self, memory: _Memory, offset: int) -> _View:
        """Return what begins at a byte of allocated memory."""
        return _View(memory, memory.address + offset)

    def upload(self, array: Array, memory: _Memory) -> None:
        """Copy a contiguous array to the device."""
        self._do("cuMemcpyHtoD_v2", memory.address, array.ctypes.data, array.nbytes)

    def download(self, memory: _Memory, array: Array) -> None:
        """Copy to a contiguous array."""
        self._do("cuMemcpyDtoH_v2", array.ctypes.data, memory.address, array.nbytes)

    def copy(self, source: _Memory | _View, destination: _Memory, size: int) -> None:
        """Copy bytes on the device."""
        self._do("cuMemcpyDtoD_v2", destination.address, source.address, size)

    def load(self, code: bytes, names: Sequence[str]) -> dict[str, Any]:
        """Load machine code; return the kernels of those names. It stays loaded as long as the process lives."""
        if not names:
            return {}
        module, kernels = c_void_p(), {name: c_void_p() for name in names}
        if status := self._driver.cuModuleLoadData(byref(module), code):
            raise TargetError(f"the GPU {self.name!r} takes no such kernels: {_words(self._driver, status)}")
        for name, kernel in kernels.items():
            self._do("cuModuleGetFunction", byref(kernel), module, name.encode())
        return dict(kernels)

    def limits(self, kernel: c_void_p) -> Limits:
        """Return what it gives a kernel."""
        threads = c_int()
        self._do("cuFuncGetAttribute", byref(threads), _THREADS, kernel)
        x, y, z, shared = (self._attribute(one) for one in (_BLOCK_X, _BLOCK_Y, _BLOCK_Z, _SHARED))
        return Limits((x, y, z), threads.value, shared)

    def prepared(self, kernel: c_void_p, launch: Launch, arguments: Sequence[_Memory | _View]) -> Callable[[], None]:
        """Return what launches a kernel on memory."""
        values = [_POINTER(one.address) for one in arguments]
        pointers = (c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        extents = *launch.blocks, *launch.threads

        def run(_kept: object = (values, arguments)) -> None:
            self._do("cuLaunchKernel", kernel, *extents, 0, None, pointers, None)

        return run

    def _attribute(self, which: int) -> int:
        return _attribute(self._driver, self._device, which)

    def _do(self, function: str, *arguments: Any) -> None:
        if status := getattr(self._driver, function)(*arguments):
            raise RunError(f"the GPU {self.name!r} failed at {function}: {_words(self._driver, status)}")


class _Memory:
    """Allocated memory, freed with the last reference to it."""

    def __init__(self, driver: ctypes.CDLL, context: c_void_p, address: int) -> None:
        self.address = address
        free = weakref.finalize(self, _free, driver, context, address)
        free.atexit = False  # the driver frees what a process had


class _View:
    """A place in allocated memory, which lives as long."""

    def __init__(self, memory: _Memory, address: int) -> None:
        self._memory = memory
        self.address = address


def _free(driver: ctypes.CDLL, context: c_void_p, address: int) -> None:
    driver.cuCtxSetCurrent(context)
    driver.cuMemFree_v2(address)


@cache
def _driver() -> ctypes.CDLL:
    """Return the driver's library, its functions with their types.

    Raises:
        TargetError: it is not installed, or too old.

    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
        for name, types in _SIGNATURES.items():
            getattr(driver, name).argtypes = types
    except (OSError, AttributeError) as error:
        raise TargetError(
            f"the program is for cuda and needs NVIDIA's driver and a GPU, and here the driver cannot be loaded "
            f"({error}); compile for cpu, or run it on a machine with a GPU"
        ) from error
    return driver


def _first_gpu(driver: ctypes.CDLL, arch: str) -> int:
    count, device = c_int(), c_int()
    status = driver.cuInit(0) or driver.cuDeviceGetCount(byref(count))
    if status or not count.value:
        why = f" ({_words(driver, status)})" if status else ""
        raise TargetError(f"the program is for a GPU ({arch}), and this machine has none{why}; compile for cpu")
    if status := driver.cuDeviceGet(byref(device), 0):
        raise TargetError(f"the program is for a GPU ({arch}), and the first cannot be used: {_words(driver, status)}")
    major, minor = (_attribute(driver, device.value, which) for which in (_MAJOR, _MINOR))
    if not runs_on(arch, major, minor):
        raise TargetError(
            f"the program is for GPUs of {arch}, and {_name(driver, device.value)!r} is of compute capability "
            f"{major}.{minor}; compile it for cuda{{arch=sm_{major}{minor}}}"
        )
    return device.value


def runs_on(arch: str, major: int, minor: int) -> bool:
    """Whether machine code for `arch`, as `sm_80`, runs on a GPU of a compute capability."""
    number = arch.removeprefix("sm_")
    return major == int(number[:-1]) and minor >= int(number[-1])


def _attribute(driver: ctypes.CDLL, device: int, which: int) -> int:
    value = c_int()
    if status := driver.cuDeviceGetAttribute(byref(value), which, device):
        raise TargetError(f"the GPU does not say what it is: {_words(driver, status)}")
    return value.value


def _name(driver: ctypes.CDLL, device: int) -> str:
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)
    return name.value.decode(errors="replace")


def _words(driver: ctypes.CDLL, status: int) -> str:
    """Return what the driver says of a status."""
    words = c_char_p()
    driver.cuGetErrorString(status, byref(words))
    return words.value.decode(errors="replace") if words.value else f"CUDA error {status}"
