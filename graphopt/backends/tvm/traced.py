"""A region compiled so that its kernels are known by the nodes that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import tvm

from graphopt.backends.tvm.build import Program, build
from graphopt.backends.tvm.compile import CodegenError
from graphopt.backends.tvm.lower.origins import lower_with_origins, origins
from graphopt.backends.tvm.lower.region import KernelOf
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.targets import Target

_LAST_OF_FUSION = "FuseTIR"


@dataclass(frozen=True)
class Traced:
    """A program in memory; by kernel the indices of its nodes, that after the last being the region's end."""

    program: Program
    origins: Mapping[str, tuple[int, ...]]


def compile_traced(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    kernel_of: KernelOf | None = None,
) -> Traced:
    """Compile nodes in topological order as `compile.compile_region` does, in memory; raises CodegenError."""
    watch = _FusionWatch()
    try:
        module = lower_with_origins(nodes, inputs, outputs, target, kernel_of)
        with tvm.transform.PassContext(instruments=[watch]):
            scheduled = schedule(module, target)
        program = build(scheduled, target)
    except Exception as error:  # TVM raises Python's own classes, which share no closer base
        reason = str(error).strip().rpartition("\n")[2]
        raise CodegenError(f"{type(error).__name__}: {reason}") from error
    return Traced(program, watch.origins)


@tvm.ir.instrument.pass_instrument
class _FusionWatch:
    """Reads the origins of kernels between fusion, which brings them together, and scheduling, which loses some."""

    def __init__(self) -> None:
        self.origins: Mapping[str, tuple[int, ...]] = {}

    def run_after_pass(self, module: tvm.IRModule, info: Any) -> None:
        if info.name == _LAST_OF_FUSION:
            self.origins = origins(module)
