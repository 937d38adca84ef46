"""Fuses a module's operators into kernels and schedules each kernel."""

from __future__ import annotations

import tvm
from tvm import relax, s_tir, tirx

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.kernels import is_schedulable
from graphopt.backends.tvm.lower.legalize import legalize
from graphopt.backends.tvm.schedule.kernel import KernelSchedule
from graphopt.backends.tvm.schedule.templates import apply_template
from graphopt.targets import Target


def schedule(module: tvm.IRModule, target: Target) -> tvm.IRModule:
    """Return a module of scheduled kernels, operators fused where Relax's fusion rules allow it."""
    with tvm_target(target):
        module = _fuse()(legalize(module))
    for name, function in module.functions.items():
        if isinstance(function, tirx.PrimFunc) and is_schedulable(function):
            module.update_func(name, schedule_kernel(function, target))
    return module


def schedule_kernel(function: tirx.PrimFunc, target: Target) -> tirx.PrimFunc:
    """Return a kernel with its loops arranged for a target."""
    kernel = KernelSchedule(s_tir.Schedule(_narrow(function)), target)
    apply_template(kernel)
    (scheduled,) = kernel.schedule.mod.functions.values()
    return scheduled.with_attrs(function.attrs) if function.attrs else scheduled


def _narrow(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Count in 32 bits: when TVM does so later, loops lose what schedules say of them.

    Kernels on 64-bit integers stay as they are: TVM would narrow these, too.
    """
    if any(parameter.ty.dtype == "int64" for parameter in function.params):
        return function
    return tirx.transform.ForceNarrowIndexToInt32()(tvm.IRModule({"main": function}))["main"]


def _fuse() -> tvm.transform.Pass:
    passes = relax.transform
    return tvm.transform.Sequential(
        [
            passes.AnnotateTIROpPattern(),
            passes.FuseOps(),
            passes.FuseTIR(),
            passes.DeadCodeElimination(),
        ]
    )
