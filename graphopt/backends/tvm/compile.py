"""A region of a graph → a library, and weights: lower, schedule, build, export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from graphopt.backends.tvm.build import build, export
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
        weights: where they begin in the file of weights.
        arena: bytes that a run needs between its inputs and its outputs.

    """

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
    """Write nodes in topological order as a shared library, and their weights to the file of weights.

    `kernel_of` says which nodes share a kernel; without it Relax decides. `decisions` are for schedules.

    Raises:
        TargetError: no C linker is installed.
        CodegenError: TVM failed.

    """
    with codegen_errors():
        program = build(schedule(lower(nodes, inputs, outputs, target, kernel_of), target, decisions), target)
    return Region(export(program, path, weights), program.arena)
