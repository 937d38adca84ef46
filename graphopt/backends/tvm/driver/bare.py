"""Kernels as C functions of plain pointers, which need no runtime.

In TVM's own convention kernels take tensors that describe themselves, and ask a runtime for threads, memory and
errors. Here a kernel takes the pointer of each tensor, runs on the thread of its caller, and gets the memory for what
is too large for the stack as further pointers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import compilation_pipeline
from tvm_ffi import structural_map

from graphopt.backends.tvm.codegen import LOWERING
from graphopt.backends.tvm.driver.plain import in_plain_words
from graphopt.backends.tvm.driver.web.words import in_web_words
from graphopt.backends.tvm.microkernel.narrowing import narrow_together
from graphopt.backends.tvm.pipeline import ON_STACK
from graphopt.backends.tvm.vectormath.expand import expand_functions
from graphopt.targets import Target

PREFIX = "model_kernel_"
"""What the names of kernels begin with: those of some, such as `exp`, are the C library's."""
_STACK_BYTES = 1 << 10
"""Of a buffer at most: more than tiles of sums take, and little for the stack of a microcontroller."""
_ENTRY = "tirx.is_entry_func"


@dataclass(frozen=True)
class Signature:
    """What a kernel takes.

    Attributes:
        dtypes: of what each pointer points to, TVM's names.
        workspace: how many bytes each of the last pointers needs.

    """

    dtypes: tuple[str, ...]
    workspace: tuple[int, ...]


@dataclass(frozen=True)
class BareKernels:
    """The code of kernels (a `tvm.runtime.Module`), and by their names in C what they take."""

    code: Any
    signatures: Mapping[str, Signature]


def compile_bare(kernels: Mapping[str, tirx.PrimFunc], target: Target, machine: tvm.target.Target) -> BareKernels:
    """Return the code of scheduled kernels, by their names in the planned module."""
    pointed = {PREFIX + name: _with_pointers(kernel, PREFIX + name, target) for name, kernel in kernels.items()}
    lower, finish, _ = compilation_pipeline.get_tir_pipeline("s_tir")
    with tvm.transform.PassContext(config=LOWERING | ({} if target.llvm else {"tirx.disable_vectorize": True})):
        lowered = lower(tirx.transform.BindTarget(_plainer(machine))(tvm.IRModule(pointed)))
        homes = {name.name_hint: _with_workspace(narrow_together(kernel)) for name, kernel in lowered.functions.items()}
        finished = finish()(tvm.IRModule({name: kernel for name, (kernel, _) in homes.items()}))
    signatures = {
        name: Signature(tuple(_pointee(parameter) for parameter in kernel.params), workspace)
        for name, (kernel, workspace) in homes.items()
    }
    return BareKernels(tvm.get_global_func(f"target.build.{machine.kind.name}")(finished, machine), signatures)


def _plainer(machine: tvm.target.Target) -> tvm.target.Target:
    """Return a target without the extensions of a processor.

    Where one has scalable vectors, TVM's passes would count the lanes of schedules by them, and fail. LLVM knows what
    to do with vectors of so many lanes.
    """
    facts = {fact: machine.attrs[fact] for fact in ("mtriple", "vector-width") if fact in machine.attrs}
    return tvm.target.Target({"kind": machine.kind.name, **facts})


def _with_pointers(kernel: tirx.PrimFunc, name: str, target: Target) -> tirx.PrimFunc:
    """Return a kernel that takes a pointer for each tensor, and does one thing after the other."""
    kernel = expand_functions(kernel) if target.llvm else in_plain_words(kernel)
    kernel = in_web_words(kernel) if target.web else kernel
    pointers = [tirx.Var(parameter.name, tvm.ir.PointerType(parameter.ty.dtype)) for parameter in kernel.params]
    tensors = [
        tirx.DeclBuffer(parameter, data=pointer) for parameter, pointer in zip(kernel.params, pointers, strict=True)
    ]
    body = tirx.SeqStmt([*tensors, structural_map(kernel.body, (tirx.For, _serial))])
    return tirx.PrimFunc(pointers, body, kernel.ret_type, kernel.attrs).with_attr("global_symbol", name)


def _serial(loop: tirx.For) -> tirx.For:
    if loop.kind != tirx.ForKind.PARALLEL:
        return loop
    return tirx.For(loop.loop_var, loop.min, loop.extent, tirx.ForKind.SERIAL, loop.body, annotations=loop.annotations)


def _with_workspace(kernel: tirx.PrimFunc) -> tuple[tirx.PrimFunc, tuple[int, ...]]:
    """Return a lowered kernel that takes its large buffers as well, and the bytes of each."""
    pointers: list[tirx.Var] = []
    sizes: list[int] = []

    def placed(allocation: tirx.AllocBuffer) -> tirx.Stmt:
        buffer = allocation.buffer
        size = _bytes(buffer)
        if size <= _STACK_BYTES:
            return tirx.AllocBuffer(buffer, {ON_STACK: tirx.IntImm("int32", 1)})
        pointers.append(tirx.Var(f"workspace{len(pointers)}", tvm.ir.PointerType(buffer.ty.dtype)))
        sizes.append(size)
        return tirx.DeclBuffer(buffer, data=pointers[-1])

    body = structural_map(kernel.body, (tirx.AllocBuffer, placed))
    function = tirx.PrimFunc([*kernel.params, *pointers], body, kernel.ret_type, kernel.attrs)
    return function.without_attr(_ENTRY), tuple(sizes)


def _bytes(buffer: Any) -> int:
    dtype = tvm.DataType(buffer.dtype)
    return math.prod(map(int, buffer.shape)) * int(dtype.bits * dtype.lanes) // 8


def _pointee(pointer: tirx.Var) -> str:
    return str(pointer.ty.element_type.dtype)
