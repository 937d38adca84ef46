"""Scheduled kernels → sources in a GPU's language, and what the host does to run them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import compilation_pipeline
from tvm_ffi import structural_walk

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.gpu.limits import shared_bytes
from graphopt.backends.tvm.gpu.plan import Extents
from graphopt.targets import Target

_LAUNCH = "tirx.call_ffi_kernel"
_DYNAMIC = "tirx.use_dyn_shared_memory"


@dataclass(frozen=True)
class KernelLaunch:
    """One of the launches that a kernel of a planned module is.

    Attributes:
        kernel: its name in the sources.
        arguments: which of the parameters of the planned kernel, those that follow being its workspaces.
        blocks, threads: along x, y and z.
        shared_bytes: of a block.

    """

    kernel: str
    arguments: tuple[int, ...]
    blocks: Extents
    threads: Extents
    shared_bytes: int


@dataclass(frozen=True)
class KernelCall:
    """What the host does for a call of a kernel of a planned module.

    Attributes:
        launches: in their order.
        workspaces: the bytes of each further buffer, for what one launch leaves to the next.

    """

    launches: tuple[KernelLaunch, ...]
    workspaces: tuple[int, ...]


@dataclass(frozen=True)
class GpuKernels:
    """The source of kernels, and by the name of each in the planned module what the host does for it."""

    source: str
    calls: Mapping[str, KernelCall]


def generate(kernels: Mapping[str, tirx.PrimFunc], target: Target) -> GpuKernels:
    """Return the sources of scheduled kernels, by their names in the planned module.

    Raises what TVM raises, and ValueError where a launch is beyond what hosts do.
    """
    if not kernels:
        return GpuKernels("", {})
    machine = tvm_target(target)
    pointed = tvm.IRModule({name: _with_pointers(kernel, name) for name, kernel in kernels.items()})
    lower, _, finish_device = compilation_pipeline.get_tir_pipeline("s_tir")
    lowered = lower(tirx.transform.BindTarget(machine)(pointed))
    device = tirx.transform.Filter(_is_device)(lowered)
    shared = {name.name_hint: shared_bytes(function) for name, function in device.functions.items()}
    hosts = {name.name_hint: f for name, f in lowered.functions.items() if not _is_device(f)}
    code = tvm.get_global_func(f"target.build.{target.kind}")(finish_device()(device), machine)
    calls = {name: _read_host(hosts[name], len(kernels[name].params), shared) for name in kernels}
    return GpuKernels(str(code.inspect_source()), calls)


def _is_device(function: tirx.PrimFunc) -> bool:
    return "gpu" in function.attrs["target"].keys


def _with_pointers(kernel: tirx.PrimFunc, name: str) -> tirx.PrimFunc:
    """Return a kernel that takes the pointer of each tensor, named by its number, so that the host's part is short."""
    pointers = [
        tirx.Var(_parameter(index), tvm.ir.PointerType(one.ty.dtype, "global"))
        for index, one in enumerate(kernel.params)
    ]
    tensors = [
        tirx.DeclBuffer(parameter, data=pointer) for parameter, pointer in zip(kernel.params, pointers, strict=True)
    ]
    function = tirx.PrimFunc(pointers, tirx.SeqStmt([*tensors, kernel.body]), kernel.ret_type, kernel.attrs)
    return function.with_attr("global_symbol", name)


def _parameter(index: int) -> str:
    return f"argument{index}"


def _read_host(function: tirx.PrimFunc, parameters: int, shared: Mapping[str, int]) -> KernelCall:
    """Read the host's part of a lowered kernel: launches one after the other, and buffers between them."""
    branches: list[Any] = []
    declared: list[tirx.DeclBuffer] = []
    allocated: list[tirx.AllocBuffer] = []
    calls: list[tvm.ir.Call] = []
    structural_walk(function.body, (tirx.For, branches.append), (tirx.IfThenElse, branches.append))
    structural_walk(function.body, (tirx.DeclBuffer, declared.append))
    structural_walk(function.body, (tirx.AllocBuffer, allocated.append))
    structural_walk(function.body, (tvm.ir.Call, calls.append))
    if branches:
        raise ValueError("launches that depend on each other's results, or that are many")
    numbers = {_parameter(index): index for index in range(parameters)}
    buffers = {one.buffer: numbers[one.data.name] for one in declared if getattr(one.data, "name", "") in numbers}
    buffers |= {one.buffer: parameters + index for index, one in enumerate(allocated)}
    launches = tuple(_launch(call, buffers, shared) for call in calls if str(getattr(call.op, "name", "")) == _LAUNCH)
    return KernelCall(launches, tuple(_bytes(one.buffer) for one in allocated))


def _launch(call: tvm.ir.Call, buffers: Mapping[Any, int], shared: Mapping[str, int]) -> KernelLaunch:
    tags = [str(tag) for tag in call.attrs.launch_params]
    if _DYNAMIC in tags:
        raise ValueError("memory that threads share is of a size that launches say")
    name, *operands = call.args
    extents = dict(zip(tags, map(int, operands[len(operands) - len(tags) :]), strict=True))
    arguments = tuple(buffers[operand.args[0]] for operand in operands[: len(operands) - len(tags)])
    kernel = str(name.value)
    return KernelLaunch(
        kernel, arguments, _extents(extents, "blockIdx"), _extents(extents, "threadIdx"), shared[kernel]
    )


def _extents(extents: Mapping[str, int], axes: str) -> Extents:
    x, y, z = (extents.get(f"{axes}.{axis}", 1) for axis in "xyz")
    return x, y, z


def _bytes(buffer: Any) -> int:
    dtype = tvm.DataType(buffer.dtype)
    return math.prod(map(int, buffer.shape)) * int(dtype.bits * dtype.lanes) // 8
