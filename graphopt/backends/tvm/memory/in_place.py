"""Kernels whose result lies where an operand does: they take that place once.

LLVM may then be told that no two parameters of a kernel share memory, and has to be: without it, sums go through memory
at each step, at half the speed. (TVM takes the word of one function for all that it compiles together.)
"""

from __future__ import annotations

from typing import Any, TypeAlias

import tvm
from tvm import tirx
from tvm_ffi import structural_map

Overlaps: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of parameters (operand, result), as indices."""

_NO_ALIAS = "tirx.noalias"


def in_place(kernel: tirx.PrimFunc, overlaps: Overlaps) -> tirx.PrimFunc:
    """Return a kernel that reads such operands where it writes the results, and does not take them as parameters."""
    merged = {kernel.params[operand]: kernel.params[result] for operand, result in overlaps}
    parameters = [parameter for parameter in kernel.params if parameter not in merged]

    def rename(variable: Any) -> Any:
        return merged.get(variable, variable)

    body = structural_map(kernel.body, (tvm.ir.Var, rename)) if merged else kernel.body
    return tirx.PrimFunc(parameters, body, kernel.ret_type, kernel.attrs).with_attr(_NO_ALIAS, True)
