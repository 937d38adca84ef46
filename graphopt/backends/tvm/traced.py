"""A region compiled so that its kernels are known by the nodes that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.backends.tvm.build import Program, build
from graphopt.backends.tvm.compile import codegen_errors
from graphopt.backends.tvm.lower.origins import lower_with_origins, origins, without_origins
from graphopt.backends.tvm.lower.region import KernelOf
from graphopt.backends.tvm.schedule.choices import ANALYSIS, DecisionTable
from graphopt.backends.tvm.schedule.module import fuse, schedule_kernels
from graphopt.targets import Target


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
    decisions: DecisionTable = ANALYSIS,
) -> Traced:
    """Compile nodes in topological order as `compile.compile_region` does, in memory; raises CodegenError."""
    with codegen_errors():
        fused = fuse(lower_with_origins(nodes, inputs, outputs, target, kernel_of), target)
        program = build(schedule_kernels(without_origins(fused), target, decisions), target)
    return Traced(program, origins(fused))
