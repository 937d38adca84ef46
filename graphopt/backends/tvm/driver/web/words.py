"""Kernels without the intrinsics for which LLVM calls the C library where it makes WebAssembly."""

from __future__ import annotations

import tvm
from tvm import tirx
from tvm.target import codegen
from tvm_ffi import structural_map

_INTRINSIC = "tirx.call_llvm_pure_intrin"


def in_web_words(kernel: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return a kernel that rounds to an integer in two instructions, f32x4.nearest and i32x4.trunc_sat."""

    def said(call: tvm.ir.Call) -> tvm.ir.Call:
        if not isinstance(call.op, tvm.ir.Op) or call.op.name != _INTRINSIC:
            return call
        number, *arguments = call.args
        if str(codegen.llvm_get_intrinsic_name(int(number))) != "llvm.lrint":
            return call
        return tirx.nearbyint(*arguments).astype(call.ty.dtype)

    return kernel.with_body(structural_map(kernel.body, (tvm.ir.Call, said)))
