"""Scheduled kernels → code for a GPU, and what launches it on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import compilation_pipeline

from graphopt.backends.tvm.gpu.cuda import compile_cuda
from graphopt.backends.tvm.gpu.executor import source_digest

_CUDA = "cuda"


@dataclass(frozen=True)
class GpuCode:
    """What launches kernels, libraries of the host (`tvm.runtime.Module`), and machine code by its source's digest.

    TVM's compiler keeps the source in the library; its runtime asks for the code of it, see `executor`.
    """

    libraries: list[Any]
    binaries: dict[str, bytes]


def compile_for_gpu(module: tvm.IRModule, target: tvm.target.Target) -> GpuCode:
    """Return the code of every PrimFunc of a module.

    Raises:
        TargetError: no compiler of CUDA is installed.

    """
    kernels = _kernels(module)
    if not kernels.functions:
        return GpuCode([], {})
    library = tvm.tirx.build(kernels, target=target, pipeline="s_tir")
    arch = str(target.attrs["arch"])
    found = [str(device.inspect_source(_CUDA)) for device in library.imports if device.kind == _CUDA]
    return GpuCode([library], {source_digest(source): compile_cuda(source, arch) for source in found})


def sources(module: tvm.IRModule, target: tvm.target.Target) -> str:
    """Return the sources of every PrimFunc of a module, in the language of a target's GPU."""
    lower, _, finish_device = compilation_pipeline.get_tir_pipeline("s_tir")
    lowered = lower(tirx.transform.BindTarget(target)(_kernels(module)))
    device = tirx.transform.Filter(_is_device)(lowered)
    finished = finish_device()(device)
    code = tvm.get_global_func(f"target.build.{target.kind.name}")
    return str(code(finished, target).inspect_source())


def _kernels(module: tvm.IRModule) -> tvm.IRModule:
    return tvm.IRModule({name: f for name, f in module.functions.items() if isinstance(f, tirx.PrimFunc)})


def _is_device(function: tirx.PrimFunc) -> bool:
    return "gpu" in function.attrs["target"].keys
