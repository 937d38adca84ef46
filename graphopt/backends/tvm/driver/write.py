"""Writes a model as a program for another machine, in the form that its target takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from graphopt.backends.tvm.build import plan
from graphopt.backends.tvm.compile import codegen_errors
from graphopt.backends.tvm.driver.program import compile_program
from graphopt.backends.tvm.driver.sources import write_sources
from graphopt.backends.tvm.driver.web.link import wasm_linker
from graphopt.backends.tvm.driver.web.write import write_module
from graphopt.backends.tvm.gpu.write import write_plan
from graphopt.backends.tvm.lower.region import KernelOf, lower
from graphopt.backends.tvm.schedule.choices import DecisionTable
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.targets import Target

KERNELS = "kernels"
"""The name, without suffixes, of the files of kernels that the host of another machine launches."""


@dataclass(frozen=True)
class Written:
    """A program that is written: the file of its function or kernels, bytes of its arena, and where its weights begin.

    Functions know that themselves.
    """

    file: str
    arena: int
    weights: tuple[int, ...] = ()


def write_program(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    folder: Path,
    weights: WeightWriter,
    kernel_of: KernelOf,
    decisions: DecisionTable,
) -> Written:
    """Write nodes in topological order as a program that needs no runtime.

    Raises:
        CodegenError: TVM failed, or a kernel is beyond what a program can do without TVM's runtime.
        TargetError: a tool to make it with is missing.

    """
    if target.web:
        wasm_linker()
    with codegen_errors():
        planned, constants = plan(schedule(lower(nodes, inputs, outputs, target, kernel_of), target, decisions), target)
        if target.sources_only:
            kernels = folder / KERNELS
            written, places = write_plan(planned, constants, inputs, outputs, target, kernels, weights)
            return Written(written.code, written.arena, places)
        program = compile_program(planned, constants, inputs, outputs, target)
        write = write_module if target.web else write_sources
        return Written(write(program, target, folder, weights), program.sequence.arena)
