"""Running a program with a clock at each kernel."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.runtime.vm import VirtualMachine

from graphopt.backends.tvm.build import Program
from graphopt.backends.tvm.executor import Machine, TvmExecutor
from graphopt.tensors import Array

_RUN, _SKIP = 0, 1
"""What the virtual machine does after asking before a call (`VMInstrumentReturnKind`)."""
_OWN_CALLS = "vm."
"""Allocations, views and the like."""


@dataclass(frozen=True)
class Call:
    """One call of a kernel in a run.

    Attributes:
        kernel: its name in the module.
        seconds: on the clock.
        bytes: of the tensors that it takes and makes, each counted once.

    """

    kernel: str
    seconds: float
    bytes: int


class TimingExecutor(TvmExecutor):
    """Runs a program in memory, for one thread at a time; see `TvmExecutor`."""

    def __init__(self, program: Program, threads: int) -> None:
        super().__init__(program, threads)
        self._calls: list[Call] = []

    def time(self, arrays: Sequence[Array]) -> tuple[list[Array], list[Call]]:
        """Run once; return the outputs and the calls of kernels in order."""
        self._calls = []
        outputs = self.run(arrays)
        return outputs, self._calls

    def _made(self) -> Machine:
        machine = VirtualMachine(self._code, tvm.cpu())
        machine.set_instrument(self._instrument)
        return Machine(machine["main"])

    def _instrument(self, function: Any, name: str, before: bool, _result: Any, *arguments: Any) -> int:
        """Run a kernel here instead of in the machine: nothing else is then between two looks at the clock."""
        if not before or name.startswith(_OWN_CALLS):
            return _RUN
        if not self._calls:  # the first of a run: in a series, the run before leaves the threads awake
            function(*arguments)
        start = time.perf_counter()
        function(*arguments)
        self._calls.append(Call(name, time.perf_counter() - start, _bytes(arguments)))
        return _SKIP


def _bytes(arguments: Sequence[Any]) -> int:
    tensors = (argument for argument in arguments if isinstance(argument, tvm.runtime.Tensor))
    return sum(math.prod(tensor.shape) * tvm.DataType(tensor.dtype).bits // 8 for tensor in tensors)
