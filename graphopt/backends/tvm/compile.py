"""A region of a graph → a library, and weights: lower, schedule, build, export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from graphopt.backends.tvm.build import build, export, plan
from graphopt.backends.tvm.gpu.write import PLAN, write_plan
from graphopt.backends.tvm.lower.region import KernelOf, lower
from graphopt.backends.tvm.reason import reason_of
from graphopt.backends.tvm.schedule.choices import ANALYSIS, DecisionTable
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.errors import TargetError
from graphopt.targets import Target


@dataclass(frozen=True)
class Region:
    """What a compiled region takes.

    Attributes:
        file: its code, or the plan for its kernels.
        weights: where they begin in the file of weights.
        arena: bytes that a run needs between its inputs and its outputs.

    """

    file: str
    weights: tuple[int, ...]
    arena: int


class CodegenError(Exception):
    """TVM failed on nodes that it had accepted one by one; the message is its own."""


@contextmanager
def codegen_errors() -> Iterator[None]:
    """Raise CodegenError for whatever TVM raises, and let through what this machine lacks."""
    try:
        yield
    except TargetError:
        raise
    except Exception as error:  # TVM raises Python's own classes, which share no closer base
        raise CodegenError(f"{type(error).__name__}: {reason_of(error)}") from error


def compile_region(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    path: Path,
    weights: WeightWriter,
    kernel_of: KernelOf | None = None,
    decisions: DecisionTable = ANALYSIS,
) -> Region:
    """Write nodes in topological order to a path without suffix, and their weights to the file of weights.

    They become a shared library, for a GPU a plan and kernels. `kernel_of` says which nodes share a kernel; without it
    Relax decides. `decisions` are for schedules.

    Raises:
        TargetError: no C linker is installed, or no compiler of a GPU's kernels.
        CodegenError: TVM failed.

    """
    with codegen_errors():
        scheduled = schedule(lower(nodes, inputs, outputs, target, kernel_of), target, decisions)
        if target.gpu:
            written, places = write_plan(*plan(scheduled, target), inputs, outputs, target, path, weights)
            return Region(f"{path.name}{PLAN}", places, written.arena)
        program = build(scheduled, target)
    library = path.with_name(f"{path.name}.so")
    return Region(library.name, export(program, library, weights), program.arena)
