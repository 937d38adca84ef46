"""Running what TVM compiled: a library or an executable in memory, arrays in and out.

This is the runtime side: it imports no part of the compiler.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphopt.backends.tvm.abi import ALIGNMENT, PREPARE
from graphopt.backends.tvm.placement import Placement, threads
from graphopt.backends.tvm.runtime_library import load_runtime
from graphopt.errors import ModelError
from graphopt.tensors import Array

_CPU, _POOLED = 1, 2
"""A kind of device (`DLDeviceType`), and a way to allocate on it (`tvm.runtime.vm.VirtualMachine`)."""

BIG_CORES = 1
"""`runtime.config_threadpool`'s default affinity mode; without binding it only counts."""

_POOL = threading.local()
"""TVM's pool of the calling thread, which all programs share: how many `threads` it was last set to, and where its
workers are, the `placement`; it makes them all when it is first set."""


@dataclass(frozen=True)
class Library:
    """Compiled code on disk.

    Attributes:
        path: of the shared library; once it is loaded, the file may go.
        weights: what it takes behind its inputs.
        arena: bytes that a run needs in between.

    """

    path: Path
    weights: Sequence[Array] = ()
    arena: int = 0


@dataclass
class Machine:
    """What one run at a time needs.

    Attributes:
        main: the function of a virtual machine, whose state it holds.
        staged: by the index of an input a tensor for it, and the same memory as an array.

    """

    main: Any
    staged: dict[int, tuple[Any, Array]] = field(default_factory=dict)


class TvmExecutor:
    """Runs `main` of a compiled module. Any number of Python threads may call one executor.

    The virtual machine holds the state of one run, so every concurrent run takes a machine of its own; they
    share the code and the weights. TVM keeps a thread pool a calling thread; a run sets it to `threads`.
    """

    def __init__(self, program: Library | Any, threads: int) -> None:
        """Load a library and its weights, or take a `build.Program` in memory.

        Raises:
            TargetError: TVM is missing or of a version that crashes.
            ModelError: the code or the weights are missing or damaged.

        """
        announce_threads(threads)
        self._runtime = load_runtime()
        self._threads = threads
        if isinstance(program, Library):
            self._code = load_code(program.path)
            self._weights = [self._runtime.from_dlpack(_readable(array)) for array in program.weights]
        else:
            self._code, self._weights = program.executable.jit(), list(program.weights)
        self._configure = self._runtime.get_global_func("runtime.config_threadpool")
        self._idle: list[Machine] = []
        self._arena = program.arena if isinstance(program, Library) else 0
        if self._arena:  # no thread is started: a process may load a program and then fork
            self._idle.append(self._made())

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run once. Inputs are read in place where aligned; outputs are views of fresh memory of the runtime."""
        if getattr(_POOL, "threads", None) != self._threads:
            before = threads()
            self._configure(BIG_CORES, self._threads)
            _POOL.threads = self._threads
            if not hasattr(_POOL, "placement"):
                _POOL.placement = Placement(threads() - before)
        _POOL.placement.before_run()
        machine = self._take()
        try:
            inputs = [self._input(machine, index, array) for index, array in enumerate(arrays)]
            outputs = map(np.from_dlpack, machine.main(*inputs, *self._weights))
            return [_apart_from(machine, output) for output in outputs]
        finally:
            self._idle.append(machine)

    def _take(self) -> Machine:
        try:
            return self._idle.pop()
        except IndexError:
            return self._made()

    def _made(self) -> Machine:
        """Return a machine for one more run at once."""
        machine = self._code["vm_load_executable"]()
        machine["vm_initialization"](_CPU, 0, _POOLED)
        if self._arena:
            machine[PREPARE]()
        return Machine(machine["main"])

    def _input(self, machine: Machine, index: int, array: Array) -> Any:
        """Return an input that kernels can read: numpy aligns to 16 bytes, and new memory costs more than a copy."""
        if _is_readable(array):
            return self._runtime.from_dlpack(array)
        if index not in machine.staged:
            memory = _aligned(array)
            machine.staged[index] = self._runtime.from_dlpack(memory), memory
        tensor, memory = machine.staged[index]
        np.copyto(memory, array)
        return tensor


def _is_readable(array: Array) -> bool:
    """Whether kernels can read an array as it is."""
    return array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % ALIGNMENT == 0


def _readable(array: Array) -> Array:
    """Return an array that kernels can read: itself, or a copy."""
    if _is_readable(array):
        return array
    copy = _aligned(array)
    np.copyto(copy, array)
    return copy


def _aligned(like: Array) -> Array:
    """Return new memory for an array of a shape and dtype, where kernels can read it."""
    size = math.prod(like.shape) * like.dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(like.dtype).reshape(like.shape)


def _apart_from(machine: Machine, output: Array) -> Array:
    """Copy an output that is an input, and so would change with the next run."""
    shared = any(np.may_share_memory(output, memory) for _, memory in machine.staged.values())
    return output.copy() if shared else output


def load_code(library: Path) -> Any:
    """Return the module of a compiled library; raises ModelError where it is missing or damaged."""
    try:
        code = load_runtime().load_module(str(library), keep_module_alive=False)
        code["vm_load_executable"]
    except Exception as error:  # a missing, a damaged and a foreign file: their exceptions share no base
        raise ModelError(f"the code {str(library)!r} is missing or damaged; compile the model again") from error
    return code


def announce_threads(threads: int) -> None:
    """Let TVM's pools, which are made at the first run of a thread, be large enough and bound to no core.

    TVM reads both from the environment only: without them x86 gets half the hardware threads, and two workers
    may be pinned to one core.
    """
    largest = max(threads, int(os.environ.get("TVM_NUM_THREADS") or 0))
    os.environ["TVM_NUM_THREADS"] = str(largest)
    os.environ["TVM_BIND_THREADS"] = "0"
