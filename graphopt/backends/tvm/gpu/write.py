"""Writes what a GPU runs: its kernels, as code or sources, and a plan of what the host does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from tvm import tirx

from graphopt.backends.tvm.driver import sequence as runs
from graphopt.backends.tvm.gpu.codegen import GpuKernels, generate
from graphopt.backends.tvm.gpu.cuda import compile_cuda
from graphopt.backends.tvm.gpu.limits import check_launches
from graphopt.backends.tvm.gpu.plan import GpuPlan, Launch, Tensor
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.backends.tvm.memory.plan import Planned
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.targets import Target

PLAN = ".json"
"""How the file of a plan ends."""
_SUFFIXES = {"cuda": ".cubin", "metal": ".metal", "opencl": ".cl", "webgpu": ".wgsl"}
"""Of files of kernels."""


def write_plan(
    planned: Planned,
    constants: Sequence[Any],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    path: Path,
    weights: WeightWriter,
) -> tuple[GpuPlan, tuple[int, ...]]:
    """Write a planned module; return what was written to a path without suffix, and where each weight begins.

    `constants` are the weights, tensors of TVM's runtime.

    Raises what TVM raises, ValueError where a launch is beyond what hosts or GPUs do, and TargetError where no compiler
    of kernels is installed, or none for this GPU.
    """
    functions = planned.module.functions.items()
    kernels = generate({name.name_hint: one for name, one in functions if isinstance(one, tirx.PrimFunc)}, target)
    workspaces = {name: call.workspaces for name, call in kernels.calls.items()}
    sequence = runs.with_workspaces(runs.sequence(planned, len(inputs)), workspaces, target.tensor_alignment)
    launches = tuple(_launches(sequence, kernels))
    check_launches(launches, target)
    plan = GpuPlan(
        kind=target.kind,
        arch=target.arch,
        device=target.device,
        code=f"{path.name}{_SUFFIXES[target.kind]}",
        inputs=tuple(map(_tensor, inputs)),
        outputs=tuple(map(_tensor, outputs)),
        arena=sequence.arena,
        alignment=target.tensor_alignment,
        launches=launches,
        copies=sequence.copies,
    )
    code = compile_cuda(kernels.source, target.arch) if target.kind == "cuda" else kernels.source.encode()
    path.with_name(plan.code).write_bytes(code)
    path.with_name(f"{path.name}{PLAN}").write_bytes(plan.encode())
    return plan, tuple(weights.add(np.from_dlpack(constant)) for constant in constants)


def _launches(sequence: runs.Sequence, kernels: GpuKernels) -> list[Launch]:
    return [
        Launch(
            launch.kernel,
            tuple(call.arguments[index] for index in launch.arguments),
            launch.blocks,
            launch.threads,
            launch.shared_bytes,
        )
        for call in sequence.calls
        for launch in kernels.calls[call.kernel].launches
    ]


def _tensor(value: ir.Value) -> Tensor:
    return Tensor(dtype_of(value), tuple(shape_of(value)))
