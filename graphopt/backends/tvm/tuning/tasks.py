"""A region of a graph → its kernels that leave something open, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir
import tvm
from tvm import relax, tirx

from graphopt.backends.tvm.compile import CodegenError
from graphopt.backends.tvm.kernels import is_schedulable, readable
from graphopt.backends.tvm.lower.region import KernelOf, lower
from graphopt.backends.tvm.schedule.choices import Choices, Decisions
from graphopt.backends.tvm.schedule.module import fuse, schedule_kernel
from graphopt.backends.tvm.schedule.workload import parameter_shapes, workload_key
from graphopt.targets import Target


@dataclass(frozen=True)
class Task:
    """A kernel to be tuned.

    Attributes:
        key: see `workload_key`.
        function: before it is scheduled.
        name: for people: what it computes, and the shape of the result.
        calls: how many times a run of the model calls it.

    """

    key: str
    function: tirx.PrimFunc
    name: str
    calls: int

    def arrange(self, decisions: Decisions, target: Target) -> tuple[tirx.PrimFunc, Choices]:
        """Schedule the kernel; return it with what was asked for."""
        choices = Choices(decisions)
        return schedule_kernel(self.function, target, choices), choices


def tasks_of(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    kernel_of: KernelOf | None = None,
) -> list[Task]:
    """Return the kernels with knobs of a region, lowered as `compile.compile_region` does; raises CodegenError."""
    try:
        module = fuse(lower(nodes, inputs, outputs, target, kernel_of), target)
        return list(_tasks(module, target))
    except Exception as error:  # TVM raises Python's own classes, which share no closer base
        raise CodegenError(f"{type(error).__name__}: {error}") from error


def merged(tasks: Iterable[Task]) -> list[Task]:
    """Return each kernel once, with the calls of all that are equal."""
    found: dict[str, Task] = {}
    for task in tasks:
        calls = found[task.key].calls if task.key in found else 0
        found[task.key] = replace(task, calls=calls + task.calls)
    return list(found.values())


def _tasks(module: tvm.IRModule, target: Target) -> Iterator[Task]:
    calls = _calls(module["main"])
    for variable, function in module.functions.items():
        if isinstance(function, tirx.PrimFunc) and is_schedulable(function):
            shape = "×".join(map(str, parameter_shapes(function)[-1]))
            name = f"{readable(variable.name_hint)} {shape}"
            task = Task(workload_key(function), function, name, calls[variable])
            if task.arrange({}, target)[1].is_open:
                yield task


def _calls(main: relax.Function) -> Counter[tvm.ir.GlobalVar]:
    found: Counter[tvm.ir.GlobalVar] = Counter()

    def visit(expr: tvm.ir.Expr) -> None:
        if isinstance(expr, relax.Call) and expr.args and isinstance(expr.args[0], tvm.ir.GlobalVar):
            found[expr.args[0]] += 1

    relax.analysis.post_order_visit(main.body, visit)
    return found
