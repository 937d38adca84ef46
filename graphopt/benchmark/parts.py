"""The parts of a program under a clock: what TVM runs, kernel by kernel, and what onnxruntime runs, as a whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.backends.partition import Executor, Region
from graphopt.backends.tvm.executor import TvmExecutor
from graphopt.backends.tvm.lower.region import KernelOf
from graphopt.backends.tvm.schedule.choices import DecisionTable
from graphopt.backends.tvm.timing import TimingExecutor
from graphopt.backends.tvm.traced import compile_traced
from graphopt.ir.extract import extract
from graphopt.targets import Target
from graphopt.tensors import Array


@dataclass(frozen=True)
class Step:
    """A kernel, or a part that onnxruntime runs, in one run.

    Attributes:
        kernel: its name.
        nodes: those that it computes, or parts of them.
        seconds: on the clock.
        bytes: of the tensors that it takes and makes; 0 where that is not known.

    """

    executor: Executor
    kernel: str
    nodes: tuple[ir.Node, ...]
    seconds: float
    bytes: int


class Part(Protocol):
    """A region of the graph, ready to run on the arrays of its inputs."""

    @property
    def region(self) -> Region:
        """What it runs."""

    @property
    def executor(self) -> Executor:
        """Who runs it, which need not be whom the region was meant for."""

    def run(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """Run as ever; return the outputs."""

    def time(self, arrays: Sequence[Array]) -> tuple[Sequence[Array], list[Step]]:
        """Run with a clock; return the outputs and the steps in order."""


class TvmPart:
    """A region that TVM compiled."""

    executor = Executor.TVM

    def __init__(self, region: Region, target: Target, kernel_of: KernelOf, decisions: DecisionTable) -> None:
        """Compile it; raises CodegenError."""
        self.region = region
        traced = compile_traced(region.nodes, region.inputs, region.outputs, target, kernel_of, decisions)
        self._origins = traced.origins
        self._timing = TimingExecutor(traced.program, target.cores)
        self.run = TvmExecutor(traced.program, target.cores).run

    def time(self, arrays: Sequence[Array]) -> tuple[Sequence[Array], list[Step]]:
        """Run with a clock at each kernel."""
        outputs, calls = self._timing.time(arrays)
        return outputs, [
            Step(Executor.TVM, call.kernel, self._nodes(call.kernel), call.seconds, call.bytes) for call in calls
        ]

    def _nodes(self, kernel: str) -> tuple[ir.Node, ...]:
        """Return the nodes of a kernel; what only lays out the outputs of the region has none."""
        return tuple(
            self.region.nodes[index] for index in self._origins.get(kernel, ()) if index < len(self.region.nodes)
        )


class OnnxruntimePart:
    """A region that onnxruntime runs."""

    executor = Executor.ONNXRUNTIME

    def __init__(self, region: Region, model: ir.Model, target: Target) -> None:
        """Load it."""
        self.region = region
        names = [[str(value.name) for value in values] for values in (region.inputs, region.outputs)]
        self._inputs, self._outputs = names
        self._session = reference_session(extract(model, *names), threads=target.cores, optimize=True)

    def run(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """Run as ever; return the outputs."""
        results = self._session.run(dict(zip(self._inputs, arrays, strict=True)))
        return [results[name] for name in self._outputs]

    def time(self, arrays: Sequence[Array]) -> tuple[Sequence[Array], list[Step]]:
        """Run with a clock around the whole."""
        start = time.perf_counter()
        outputs = self.run(arrays)
        seconds = time.perf_counter() - start
        return outputs, [Step(Executor.ONNXRUNTIME, "session", self.region.nodes, seconds, 0)]
