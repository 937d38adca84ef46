"""How TVM lowers kernels: its own passes and two more, for small buffers and for bytes that lie next to each other."""

from __future__ import annotations

import math
from functools import cache

import tvm
from tvm import tirx
from tvm.tirx import compilation_pipeline
from tvm_ffi import structural_map

from graphopt.backends.tvm.microkernel.narrowing import narrow_together

PIPELINE = "graphopt"
ON_STACK = "disable_lower_builtin"
"""The annotation of a buffer that takes no memory of the runtime."""
_LARGEST = 8 << 10
"""Bytes of a buffer on the stack. TVM's own limit is 1024, less than the registers of a processor hold: tiles of sums
would come from its pool, at two calls a tile, and never be in registers."""


@cache
def register_pipeline() -> None:
    """Make the pipeline known to `tvm.tirx.build`, once a process."""
    compilation_pipeline.register_tir_pipeline(PIPELINE, _pipeline)


def _pipeline() -> tuple[tvm.transform.Pass, object, object]:
    lower, finish_host, finish_device = compilation_pipeline.get_tir_pipeline("s_tir")
    keep = tirx.transform.prim_func_pass(_keep_on_stack, opt_level=0)
    narrow = tirx.transform.prim_func_pass(_narrow_together, opt_level=0)
    return lower, lambda: tvm.transform.Sequential([keep, narrow, finish_host()]), finish_device


def _keep_on_stack(kernel: tirx.PrimFunc, _module: tvm.IRModule, _context: tvm.transform.PassContext) -> tirx.PrimFunc:
    return kernel.with_body(structural_map(kernel.body, (tirx.AllocBuffer, _mark)))


def _narrow_together(
    kernel: tirx.PrimFunc, _module: tvm.IRModule, _context: tvm.transform.PassContext
) -> tirx.PrimFunc:
    return narrow_together(kernel)


def _mark(allocation: tirx.AllocBuffer) -> tirx.AllocBuffer:
    buffer = allocation.buffer
    if not all(isinstance(extent, tirx.IntImm) for extent in buffer.shape):
        return allocation
    size = math.prod(map(int, buffer.shape)) * tvm.DataType(buffer.dtype).bits * tvm.DataType(buffer.dtype).lanes // 8
    return tirx.AllocBuffer(buffer, {ON_STACK: tirx.IntImm("int32", 1)}) if size <= _LARGEST else allocation
