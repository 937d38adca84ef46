"""What this machine can do at most, measured by kernels of our own: the roofs of the roofline model.

Source: S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52(4), 2009.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax, s_tir, te

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.backends.tvm.build import Program, build
from graphopt.backends.tvm.schedule.kernel import KernelSchedule, keep_in_registers
from graphopt.backends.tvm.timing import TimingExecutor
from graphopt.hardware import last_cache_bytes
from graphopt.targets import Target
from graphopt.tensors import Array

_SECONDS = 0.5
"""How long each probe is repeated: longer than other programs keep a core in one go."""
_ROUNDS, _TAPS = 1 << 12, 32
"""Taps fit into the first cache; rounds make work of them that is long beside the waking of a thread, and short enough
to pass undisturbed."""
_FACTORS = 2
"""By which each element of a row is multiplied."""
_STREAMS = 8
"""Sums that a core reads into at a time, so that none waits for another."""
_LEAST_BYTES, _MOST_BYTES = 64 << 20, 1 << 30


@dataclass(frozen=True)
class Roofline:
    """The three roofs.

    Attributes:
        flops: float32 operations a second, a multiply-add counting as two.
        bandwidth: bytes a second that are read from memory.
        launch: seconds that a kernel takes which does next to nothing, on all threads.

    """

    flops: float
    bandwidth: float
    launch: float


def measure_roofline(target: Target) -> Roofline:
    """Measure with as many threads as the target has cores, the best of several runs each; takes a few seconds."""
    size = min(max(_LEAST_BYTES, 4 * last_cache_bytes()), _MOST_BYTES)
    return Roofline(
        flops=multiply_adds(target, _ROUNDS, _TAPS).rate(),
        bandwidth=reads(target, size).rate(),
        launch=multiply_adds(target, 1, 1).seconds(),
    )


@dataclass(frozen=True)
class Probe:
    """A kernel and how much it does, in operations or bytes."""

    program: Program
    inputs: Sequence[Array]
    work: int
    threads: int

    def seconds(self) -> float:
        """Return how long the kernel takes at best."""
        executor = TimingExecutor(self.program, self.threads)
        end = time.perf_counter() + _SECONDS
        best = math.inf
        while time.perf_counter() < end or best == math.inf:
            _, (call,) = executor.time(self.inputs)
            best = min(best, call.seconds)
        return best

    def rate(self) -> float:
        """Return how much it does in a second."""
        return self.work / self.seconds()


def multiply_adds(target: Target, rounds: int, taps: int) -> Probe:
    """Multiply and add on registers, with a load for every two operations.

    sums[thread, j, k, lane] = Σ over rounds and taps of factor[j, lane] · row[tap, k, lane]. The row changes with the
    tap, or LLVM would multiply once and only add from then on; factors and sums fit into the registers together, or
    loading the factors would take as long as the operations.
    """
    lanes = target.lanes()
    columns = target.vector_registers * 5 // 8 // _FACTORS  # enough that no sum waits for itself, and none is spilled
    shape = target.cores, _FACTORS, columns, lanes

    def compute(factor: te.Tensor, row: te.Tensor) -> te.Tensor:
        again, tap = te.reduce_axis((0, rounds), "round"), te.reduce_axis((0, taps), "tap")
        return te.compute(
            shape,
            lambda _, j, k, lane: te.sum(factor[j, lane] * row[tap, k, lane], axis=[again, tap]),
            name="probe",
        )

    inputs = np.full((_FACTORS, lanes), 1e-3, np.float32), np.full((taps, columns, lanes), 1e-3, np.float32)
    return _probe(compute, inputs, 2 * rounds * taps * int(np.prod(shape)), target)


def reads(target: Target, size: int) -> Probe:
    """Sum up `size` bytes: sums[thread, stream, lane] = Σ over n of data[thread, n, stream, lane]."""
    lanes = target.lanes()
    steps = size // (4 * target.cores * _STREAMS * lanes)

    def compute(data: te.Tensor) -> te.Tensor:
        n = te.reduce_axis((0, steps), "n")
        return te.compute(
            (target.cores, _STREAMS, lanes), lambda t, s, lane: te.sum(data[t, n, s, lane], axis=n), name="probe"
        )

    data = _ones((target.cores, steps, _STREAMS, lanes))
    return _probe(compute, [data], data.nbytes, target)


def _ones(shape: tuple[int, ...]) -> Array:
    """Return ones that begin where vector loads want it, or each run would copy them all."""
    size = int(np.prod(shape))
    room = np.ones(size + ALIGNMENT // 4, np.float32)
    start = -room.ctypes.data % ALIGNMENT // 4
    return room[start : start + size].reshape(shape)


def _probe(compute: Callable[..., te.Tensor], inputs: Sequence[Array], work: int, target: Target) -> Probe:
    builder = relax.BlockBuilder()
    types = [relax.TensorType(array.shape, array.dtype.name) for array in inputs]
    parameters = [relax.Var(f"input{index}", type_) for index, type_ in enumerate(types)]
    with builder.function("main", parameters):
        with builder.dataflow():
            result = builder.emit_output(builder.call_te(compute, *parameters, primfunc_name_hint="probe"))
        builder.emit_func_output(relax.Tuple([result]))
    module = builder.finalize()
    module.update_func(module.get_global_var("probe"), _arranged(module["probe"], target))
    return Probe(build(module, target), inputs, work, target.cores)


def _arranged(function: tvm.tirx.PrimFunc, target: Target) -> tvm.tirx.PrimFunc:
    """Keep the sums [thread, …, lane] in registers, a vector each, while all is summed; a thread each."""
    kernel = KernelSchedule(s_tir.Schedule(function), target)
    schedule = kernel.schedule
    block = schedule.get_sblock("probe")
    thread, *_ = schedule.get_loops(schedule.cache_write(block, 0, "global"))
    schedule.parallel(thread)
    schedule.compute_at(block, thread, preserve_unit_loops=True)
    (_, *sums), depth = kernel.reduction_axes(block, below=1)
    schedule.reorder(*depth, *sums)
    keep_in_registers(kernel, sums)
    keep_in_registers(kernel, schedule.get_loops(schedule.decompose_reduction(block, depth[0]))[-len(sums) :])
    return schedule.mod["main"].with_attrs(function.attrs)
