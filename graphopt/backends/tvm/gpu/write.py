"""Writes a program for a GPU that nothing here launches: the sources of its kernels, weights, the order of calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.compile import codegen_errors
from graphopt.backends.tvm.gpu.codegen import sources
from graphopt.backends.tvm.memory.plan import Planned
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.targets import Target

SUFFIXES = {"metal": ".metal", "opencl": ".cl", "webgpu": ".wgsl"}
"""Of files in each language."""
_CALLS = "calls.txt"


def write_kernels(
    planned: Planned, constants: Sequence[Any], target: Target, folder: Path, weights: WeightWriter
) -> tuple[str, int, tuple[int, ...]]:
    """Write a planned module; return the file of kernels, the bytes of the arena, and where each weight begins.

    `calls.txt` has the calls of kernels in their order, with the place of each tensor in the arena, as TVM writes
    functions: parameters are the inputs and then the weights, which are `constants`, tensors of TVM's runtime.

    Raises:
        CodegenError: TVM failed.

    """
    with codegen_errors():
        text = sources(planned.module, tvm_target(target))
    name = f"kernels{SUFFIXES[target.kind]}"
    (folder / name).write_text(text, encoding="utf-8")
    (folder / _CALLS).write_text(planned.module["main"].script(show_meta=False), encoding="utf-8")
    return name, planned.arena, tuple(weights.add(np.from_dlpack(constant)) for constant in constants)
