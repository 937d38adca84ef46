"""Calls of intrinsics in kernels → formulas; whoever wrote the kernel, lowering or TVM's importer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tvm
import tvm_ffi
from tvm import tirx

from graphopt.backends.tvm.vectormath.error import erf
from graphopt.backends.tvm.vectormath.exponential import exp, sigmoid
from graphopt.backends.tvm.vectormath.hyperbolic import atanh, cosh, sinh, tanh
from graphopt.backends.tvm.vectormath.logarithm import log, log1p
from graphopt.backends.tvm.vectormath.terms import Bindings, Let

Formula = Callable[[tirx.Expr, Let], tirx.Expr]

FORMULAS: Mapping[str, Formula] = {
    "tirx.atanh": atanh,
    "tirx.cosh": cosh,
    "tirx.erf": erf,
    "tirx.exp": exp,
    "tirx.log": log,
    "tirx.log1p": log1p,
    "tirx.sigmoid": sigmoid,
    "tirx.sinh": sinh,
    "tirx.tanh": tanh,
}


_MOST_NAMES = 13
"""What the argument of a formula may define: about one formula.

TVM's passes substitute names by their values, so that their time grows by a factor of ten with each formula within a
formula. The third one stays a call of the C library.
"""


def expand_functions(kernel: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return a kernel in which functions of float32 are formulas, and those of float16 formulas of float32.

    float64 stays with the C library. Expand after scheduling: schedules match the kernel's own expressions, and
    inlining would define a formula's names twice.
    """
    expanded: tirx.PrimFunc = tvm_ffi.structural_mutate(kernel, (tvm.ir.Call, _expand))
    return expanded


def _expand(call: tvm.ir.Call, mutator: tvm_ffi.StructuralMutator) -> tirx.Expr:
    call = mutator.default_mutate(call)
    formula = FORMULAS.get(call.op.name) if isinstance(call.op, tvm.ir.Op) else None
    if formula is None or str(call.ty.dtype) not in {"float16", "float32"}:
        return call
    (argument,), dtype = call.args, call.ty.dtype
    if _names_in(argument) > _MOST_NAMES:
        return call
    bindings = Bindings()
    x = bindings.let(argument.astype("float32"))
    return bindings.around(formula(x, bindings.let)).astype(dtype)


def _names_in(expr: tirx.Expr) -> int:
    found: list[tirx.Let] = []

    def collect(let: tirx.Let, mutator: tvm_ffi.StructuralMutator) -> tirx.Expr:
        found.append(let)
        return mutator.default_mutate(let)

    tvm_ffi.structural_mutate(expr, (tirx.Let, collect))
    return len(found)
