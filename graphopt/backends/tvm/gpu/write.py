"""Writes a program for a GPU that nothing here launches: the sources of its kernels, weights, the order of calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from graphopt.backends.tvm.build import plan, tvm_target
from graphopt.backends.tvm.compile import codegen_errors
from graphopt.backends.tvm.driver.write import Written
from graphopt.backends.tvm.gpu.codegen import sources
from graphopt.backends.tvm.lower.region import KernelOf, lower
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.targets import Target

SUFFIXES = {"metal": ".metal", "opencl": ".cl", "webgpu": ".wgsl"}
"""Of files in each language."""
_CALLS = "calls.txt"


def write_sources(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    folder: Path,
    weights: WeightWriter,
    kernel_of: KernelOf,
) -> Written:
    """Write nodes in topological order.

    `calls.txt` has the calls of kernels in their order, with the place of each tensor in the arena, as TVM writes
    functions: parameters are the inputs and then the weights.

    Raises:
        CodegenError: TVM failed.

    """
    with codegen_errors():
        planned, constants = plan(schedule(lower(nodes, inputs, outputs, target, kernel_of), target), target)
        text = sources(planned.module, tvm_target(target))
    name = f"kernels{SUFFIXES[target.kind]}"
    (folder / name).write_text(text, encoding="utf-8")
    (folder / _CALLS).write_text(planned.module["main"].script(show_meta=False), encoding="utf-8")
    places = tuple(weights.add(np.from_dlpack(constant)) for constant in constants)
    return Written(name, planned.arena, places)
