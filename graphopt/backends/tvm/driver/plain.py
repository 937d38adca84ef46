"""Kernels in C99: what they call has to be there, and what TVM's generator writes must not need TVM's headers.

Functions such as exp stay calls of the C library: the formulas that they are elsewhere look at bits, as C must not.
"""

from __future__ import annotations

import re

import tvm
from tvm import tirx
from tvm.target import codegen
from tvm_ffi import structural_map

_PREAMBLE = re.compile(r"\A.*?^void\* __tvm_ffi__library_ctx = NULL;\n", re.DOTALL | re.MULTILINE)
_LINKAGE = re.compile(r'#ifdef __cplusplus\nextern "C"\n#endif\nTVM_DLL ')
_HEADS = re.compile(r"^void \w+\(.*$", re.MULTILINE)
"""Of kernels, whose parameters never share memory (`memory.in_place`): to know that halves the time of a run."""
_BEYOND = re.compile(r"\b(?:TVM|__tvm)\w+")
_INCLUDES = """\
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

"""
_INTRINSIC = "tirx.call_llvm_pure_intrin"
_WORDS = {"llvm.arithmetic.fence": "model_rounded", "llvm.lrint": "model_nearest"}
"""By LLVM's intrinsics on float32 that kernels call for any target: functions of ours."""
_DEFINITIONS = {
    "model_rounded": """\
/* Keeps a product out of an fma: it is rounded on its own. */
static float model_rounded(float product) {
  return product;
}

""",
    "model_nearest": """\
/* Rounds to an integer, halves to the even one. */
static int32_t model_nearest(float number) {
  return (int32_t)lrintf(number);
}

""",
}


def in_plain_words(kernel: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return a kernel that calls functions of C instead of LLVM's intrinsics; raises ValueError for one of no such."""

    def said(call: tvm.ir.Call) -> tvm.ir.Call:
        if not isinstance(call.op, tvm.ir.Op) or call.op.name != _INTRINSIC:
            return call
        number, *arguments = call.args
        name = str(codegen.llvm_get_intrinsic_name(int(number)))
        if name not in _WORDS:
            raise ValueError(f"C99 has no {name}")
        return tirx.call_pure_extern(str(call.ty.dtype), _WORDS[name], *arguments)

    return kernel.with_body(structural_map(kernel.body, (tvm.ir.Call, said)))


def plain_source(generated: str) -> str:
    """Return the source of kernels without what TVM puts around them.

    Raises:
        ValueError: a kernel needs TVM's runtime.

    """
    text, found = _PREAMBLE.subn("", generated)
    if not found:
        raise ValueError("TVM's generator of C writes another preamble than that of 0.27")
    text = _HEADS.sub(lambda head: head.group().replace("* ", " *restrict "), _LINKAGE.sub("", text))
    if beyond := _BEYOND.search(text):
        raise ValueError(f"C99 has no {beyond.group()}")
    return _INCLUDES + "".join(definition for name, definition in _DEFINITIONS.items() if name in text) + text
