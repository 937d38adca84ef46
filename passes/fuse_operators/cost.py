"""What it saves not to store a value, and what that costs: the one place where it is decided what is fused.

Between two kernels a value is stored and loaded again, at the rate of one vector register a cycle where the
caches hold it, and slower where they do not; and the second kernel has to be started. Within one kernel a value
that is smaller than the result, since it is broadcast into it, is computed again for every element of that, except
for sums, which are kept for the second half of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sized
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.ir.dims import same_shape
from graphopt.ir.fusible import TRANSCENDENTAL, is_anchor
from graphopt.targets import Target

MEMORY_SLOWDOWN = 8
"""How many times slower than from the second cache a vector comes from memory: 64 bytes to about 8 a cycle and core."""
KERNEL_START = 2000
"""Cycles to start a kernel: a call, and a barrier among the threads, of about half a microsecond."""
SERIES_CYCLES = 20
"""Cycles of a transcendental function for one vector: about ten terms, each an overlapping multiply-add or two."""
MOST_NODES = 64
"""Nodes of a kernel: beyond that its code and its live values outgrow what registers and caches are good for."""


@dataclass(frozen=True)
class CostModel:
    """The costs on one target."""

    target: Target

    def refuse(self, value: ir.Value, result: ir.Value) -> str | None:
        """Return why `value` should be stored rather than stay within the kernel that computes `result`."""
        if same_shape(value, result):
            return None
        small, large = _elements(value), _elements(result)
        if small is None or large is None:
            return f"{value.name!r} and {result.name!r} are not known to have the same shape"
        producer = value.producer()
        if producer is not None and is_anchor(producer):
            return None
        cost = self._cycles_of_recomputing(value, large - small)
        saving = self._cycles_of_storing(value, small)
        if cost > saving:
            return (
                f"computing {value.name!r} again for each of {large} elements takes {cost:.0f} cycles more, "
                f"storing its {small} elements {saving:.0f}"
            )
        return None

    def refuse_size(self, nodes: Sized, reads: Sized) -> str | None:
        """Return why one kernel should not hold these nodes, or read these values."""
        if len(nodes) > MOST_NODES:
            return f"a kernel holds at most {MOST_NODES} nodes"
        if len(reads) > self.target.vector_registers:
            return f"the kernel would read {len(reads)} values, and has {self.target.vector_registers} registers"
        return None

    def _cycles_of_storing(self, value: ir.Value, elements: int) -> float:
        size = elements * (value.dtype or ir.DataType.FLOAT).bitwidth / 8
        cached = size <= self.target.l2_bytes * self.target.cores
        vectors = 2 * size / (self.target.vector_bits / 8)
        return KERNEL_START + vectors * (1 if cached else MEMORY_SLOWDOWN) / self.target.cores

    def _cycles_of_recomputing(self, value: ir.Value, elements: int) -> float:
        producer = value.producer()
        cycles = SERIES_CYCLES if producer is not None and producer.op_type in TRANSCENDENTAL else 1
        lanes = self.target.lanes((value.dtype or ir.DataType.FLOAT).bitwidth)
        return cycles * elements / lanes / self.target.cores


def _elements(value: ir.Value) -> int | None:
    if value.shape is None or not value.shape.is_static():
        return None
    return math.prod(value.shape.numpy())
