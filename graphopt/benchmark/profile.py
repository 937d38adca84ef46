"""Where the time of a compiled model goes: its kernels, one by one, in the order of a run and on its values.

The program is compiled anew for this, with every kernel once a call, so that each is known by its nodes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import onnx_ir as ir

from graphopt.backends.partition import Executor, partition
from graphopt.backends.tvm.compile import CodegenError
from graphopt.backends.tvm.kernels import readable
from graphopt.backends.tvm.lower.support import supports
from graphopt.backends.tvm.roofline import Roofline, measure_roofline
from graphopt.benchmark.bound import Cost
from graphopt.benchmark.case import Case
from graphopt.benchmark.parts import OnnxruntimePart, Part, Step, TvmPart
from graphopt.benchmark.quiet import OtherLoad, Watch
from graphopt.compiler import tuned
from graphopt.compiler.fixed import fixed_model
from graphopt.compiler.kernels import kernels_of
from graphopt.compiler.steps import Progress
from graphopt.errors import TargetError
from graphopt.inspect.operations import UnknownShapeError, operations_of
from graphopt.runtime.benchmark import Timing, measure
from graphopt.targets import Target
from graphopt.tensors import Array, Feeds

_WARM_UP = 3


@dataclass(frozen=True)
class Kernel:
    """A kernel in its place in the run; a part that onnxruntime runs counts as one."""

    name: str
    executor: Executor
    nodes: tuple[ir.Node, ...]
    cost: Cost


@dataclass(frozen=True)
class Profile:
    """What was measured.

    Attributes:
        kernels: in the order of a run.
        whole: runs without a clock inside.
        roofline: what the machine can do.
        others: what other programs took meanwhile, None where the system does not tell.

    """

    kernels: tuple[Kernel, ...]
    whole: Timing
    roofline: Roofline
    others: OtherLoad | None

    @property
    def in_kernels(self) -> float:
        """Return the seconds in kernels; the rest of the whole is between them."""
        return sum(kernel.cost.seconds for kernel in self.kernels)


def profile(case: Case, *, repeats: int, on_step: Progress = lambda *_: None) -> Profile:
    """Measure the kernels of a model and the roofs of the machine, with as many threads as the target has cores.

    Raises:
        TargetError: the target is onnxruntime, which has no kernels to look into.
        ModelError: an input has no shape.

    """
    target = case.recipe.target
    if target.kind == "onnxruntime":
        raise TargetError("a profile looks into native code, and the target onnxruntime has none; take cpu")
    if target.freestanding or target.gpu:
        raise TargetError(f"a profile is of this machine, and target {target} is another; take cpu")
    on_step("compiling", 0, None)
    parts = parts_of(fixed_model(case.model, target, case.recipe.pipeline), target)
    watch = Watch()
    on_step("measuring what the machine can do", 0, None)
    roofline = measure_roofline(target)
    on_step("running whole", 0, None)
    whole = measure(partial(_run, parts, case.feeds), repeats=repeats, warm_up=_WARM_UP)
    counted = partial(on_step, "running kernel by kernel")
    return Profile(timed(parts, case.feeds, repeats, counted), whole, roofline, watch.stop())


def timed(
    parts: Sequence[Part], feeds: Feeds, repeats: int, on_run: Callable[[int, int], None] = lambda *_: None
) -> tuple[Kernel, ...]:
    """Run the parts of a program with a clock at each kernel; return the kernels with the medians.

    Args:
        parts: of one program, in the order of their runs.
        feeds: of the program.
        repeats: runs that count.
        on_run: told before each how many are done, and of how many.

    """
    runs = []
    for done in range(_WARM_UP + repeats):
        on_run(done, _WARM_UP + repeats)
        runs.append(list(_steps(parts, feeds)))
    return tuple(_kernels(runs[_WARM_UP:]))


def parts_of(model: ir.Model, target: Target) -> list[Part]:
    """Compile a model of fixed shapes (`graphopt.compiler.fixed`) into parts that can be timed here."""
    kernel_of, decisions = kernels_of(model, target), tuned.decisions(target)
    parts: list[Part] = []
    for region in partition(model.graph, supports).regions:
        try:
            if region.executor is Executor.TVM:
                parts.append(TvmPart(region, target, kernel_of, decisions))
                continue
        except CodegenError:
            pass  # onnxruntime runs it, as it does in the program
        parts.append(OnnxruntimePart(region, model, target))
    return parts


def _run(parts: Sequence[Part], feeds: Feeds) -> None:
    values = dict(feeds)
    for part in parts:
        _keep(values, part, part.run(_inputs(values, part)))


def _steps(parts: Sequence[Part], feeds: Feeds) -> Iterator[Step]:
    values = dict(feeds)
    for part in parts:
        outputs, steps = part.time(_inputs(values, part))
        _keep(values, part, outputs)
        yield from steps


def _inputs(values: Mapping[str, Array], part: Part) -> list[Array]:
    return [values[str(value.name)] for value in part.region.inputs]


def _keep(values: dict[str, Array], part: Part, outputs: Sequence[Array]) -> None:
    values.update(zip((str(value.name) for value in part.region.outputs), outputs, strict=True))


def _kernels(runs: Sequence[Sequence[Step]]) -> Iterator[Kernel]:
    """Put the runs together, which have the same steps."""
    flops = _operations(runs[0])
    for step, count, times in zip(runs[0], flops, zip(*runs, strict=True), strict=True):
        seconds = statistics.median(one.seconds for one in times)
        yield Kernel(readable(step.kernel), step.executor, step.nodes, Cost(seconds, count, step.bytes))


def _operations(steps: Sequence[Step]) -> list[int]:
    """Return the operations of each step: those of a node count where its result is made, in the last of its steps."""
    last = {node: index for index, step in enumerate(steps) for node in step.nodes}
    counts = [0] * len(steps)
    for node, index in last.items():
        counts[index] += _flops(node)
    return counts


def _flops(node: ir.Node) -> int:
    try:
        return operations_of(node)[1]
    except UnknownShapeError:  # of a node that onnxruntime runs
        return 0
