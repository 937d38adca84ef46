"""Fuses a module's operators into kernels and schedules each kernel."""

from __future__ import annotations

import tvm
from tvm import relax, s_tir, tirx

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.kernels import is_schedulable
from graphopt.backends.tvm.lower.legalize import legalize
from graphopt.backends.tvm.microkernel.narrowing import allow_narrowing
from graphopt.backends.tvm.schedule.bias import begin_with_bias
from graphopt.backends.tvm.schedule.choices import ANALYSIS, Choices, DecisionTable
from graphopt.backends.tvm.schedule.dots import call_sums
from graphopt.backends.tvm.schedule.gpu import schedule_for_gpu
from graphopt.backends.tvm.schedule.kernel import KernelSchedule
from graphopt.backends.tvm.schedule.prefetch import prefetch_weights
from graphopt.backends.tvm.schedule.templates import apply_template
from graphopt.backends.tvm.schedule.workload import workload_key
from graphopt.targets import Target


def schedule(module: tvm.IRModule, target: Target, decisions: DecisionTable = ANALYSIS) -> tvm.IRModule:
    """Return a module of scheduled kernels, operators fused where Relax's fusion rules allow it."""
    return schedule_kernels(fuse(module, target), target, decisions)


def fuse(module: tvm.IRModule, target: Target) -> tvm.IRModule:
    """Return a module whose operators are kernels, as large as they will be."""
    with tvm_target(target):
        return _fuse()(legalize(module))


def schedule_kernels(module: tvm.IRModule, target: Target, decisions: DecisionTable) -> tvm.IRModule:
    """Arrange the loops of a fused module's kernels, as decided where there is a decision."""
    for name, function in module.functions.items():
        if isinstance(function, tirx.PrimFunc) and is_schedulable(function):
            choices = Choices(decisions.get(workload_key(function), {}) if decisions else {})
            module.update_func(name, schedule_kernel(function, target, choices))
    return module


def schedule_kernel(function: tirx.PrimFunc, target: Target, choices: Choices | None = None) -> tirx.PrimFunc:
    """Return a kernel with its loops arranged for a target; `choices` decide, and learn what was asked for."""
    if target.gpu:
        return schedule_for_gpu(_narrow(function), target, tvm_target(target))
    unscheduled = s_tir.Schedule(begin_with_bias(_narrow(function)))
    kernel = KernelSchedule(unscheduled, target, Choices() if choices is None else choices)
    apply_template(kernel)
    (arranged,) = kernel.schedule.mod.functions.values()
    asking = prefetch_weights(arranged) if target.llvm else arranged  # C has no word for it
    scheduled = allow_narrowing(call_sums(asking), target)
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
            passes.DeadCodeElimination(),  # FuseOps would say on stderr what is dead
            passes.AnnotateTIROpPattern(),
            passes.FuseOps(),
            passes.FuseTIR(),
            passes.DeadCodeElimination(),
        ]
    )
