"""Running what was compiled for CUDA: arrays go to the GPU, results come back.

This is the runtime side: it imports no part of the compiler. TVM's runtime keeps the sources of kernels and asks for
their machine code when it loads them; that lies in the program, by the digest of the source.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from graphopt.backends.tvm.executor import Library, load_code
from graphopt.backends.tvm.runtime_library import library_folders, load_runtime
from graphopt.digests import digest
from graphopt.errors import TargetError
from graphopt.tensors import Array

_CPU, _CUDA, _POOLED = 1, 2, 2
"""Kinds of devices (`DLDeviceType`), and a way to allocate on them."""
_EXISTS, _COMPUTE_VERSION = 0, 4
"""What `runtime.GetDeviceAttr` is asked for (`DeviceAttrKind`)."""

_BINARIES: dict[str, bytes] = {}
"""Machine code by the digest of its source, of all programs that this process loaded."""


class GpuExecutor:
    """Runs `main` of a module that was compiled for CUDA, one run at a time, on the first GPU."""

    def __init__(self, library: Library, binaries: Mapping[str, bytes], arch: str) -> None:
        """Load a library, its weights and its machine code, by the digests of their sources.

        Raises:
            TargetError: there is no GPU, or none that runs code for `arch`; TVM's runtime for CUDA is missing.
            ModelError: the code is missing or damaged.

        """
        self._runtime = load_cuda()
        _check_gpu(self._runtime, arch)
        _BINARIES.update(binaries)
        self._runtime.register_global_func("tvm_callback_cuda_compile", _binary, override=True)
        self._allocate = self._runtime.get_global_func("runtime.TVMTensorAllocWithScope")
        self._copy = self._runtime.get_global_func("runtime.TVMTensorCopyFromTo")
        machine = load_code(library.path)["vm_load_executable"]()
        machine["vm_initialization"](_CUDA, 0, _POOLED, _CPU, 0, _POOLED)
        self._machine, self._main = machine, machine["main"]
        self._weights = [self._moved(self._on_host(array), "cuda") for array in library.weights]
        self._lock = threading.Lock()

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run once; outputs are new arrays of this machine's memory."""
        with self._lock:
            inputs = [self._moved(self._on_host(array), "cuda") for array in arrays]
            outputs = self._main(*inputs, *self._weights)
            return [np.from_dlpack(self._moved(output, "cpu")) for output in outputs]

    def _on_host(self, array: Array) -> Any:
        return self._runtime.from_dlpack(array if array.flags.writeable and array.flags.c_contiguous else array.copy())

    def _moved(self, tensor: Any, device: str) -> Any:
        moved = self._allocate(tensor.shape, tensor.dtype, self._runtime.device(device, 0), None)
        self._copy(tensor, moved)
        return moved


@cache
def load_cuda() -> Any:
    """Load TVM's runtime with that of CUDA; return the package `tvm_ffi`.

    Raises:
        TargetError: it is missing, or NVIDIA's driver is not installed.

    """
    runtime = load_runtime()
    from tvm_ffi.libinfo import load_lib_ctypes  # noqa: PLC0415  # after the check of its version

    try:
        load_lib_ctypes("graphopt", "tvm_runtime_cuda", "RTLD_LOCAL", library_folders())
    except (OSError, RuntimeError) as error:
        raise TargetError(
            "a program for cuda runs where apache-tvm, CUDA's runtime and NVIDIA's driver are installed, and here the "
            f"runtime for CUDA cannot be loaded ({str(error).splitlines()[0]}); compile for cpu, or run it on a "
            "machine with a GPU"
        ) from error
    return runtime


def runs_on(arch: str, found: str) -> bool:
    """Whether machine code for `arch`, as `sm_80`, runs on a GPU of compute capability `found`, as `8.6`."""
    number = arch.removeprefix("sm_")
    major, _, minor = found.partition(".")
    return major == number[:-1] and int(minor or 0) >= int(number[-1])


def _check_gpu(runtime: Any, arch: str) -> None:
    ask = runtime.get_global_func("runtime.GetDeviceAttr")
    if not ask(_CUDA, 0, _EXISTS):
        raise TargetError(f"the program is for a GPU ({arch}), and this machine has none; compile for cpu")
    found = str(ask(_CUDA, 0, _COMPUTE_VERSION))
    if not runs_on(arch, found):
        own = found.replace(".", "")
        raise TargetError(
            f"the program is for GPUs of {arch}, and this one is of compute capability {found}; compile it for "
            f"cuda{{arch=sm_{own}}}"
        )


def _binary(source: str) -> bytes:
    """Return the machine code of a source that some program brought along."""
    return _BINARIES[source_digest(source)]


def source_digest(source: str) -> str:
    """Return the name of the machine code of a source."""
    return digest([source.encode()]).hex()
