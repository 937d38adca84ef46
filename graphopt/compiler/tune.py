"""`graphopt.tune`: measure what schedules decide by analysis, and keep what is faster for `compile`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from graphopt.backends.partition import Executor, partition
from graphopt.backends.tvm.compile import CodegenError
from graphopt.backends.tvm.lower.support import supports
from graphopt.backends.tvm.schedule.choices import Choices, Decisions
from graphopt.backends.tvm.tuning.measure import Meter
from graphopt.backends.tvm.tuning.places import ThisMachine, TrackedMachines
from graphopt.backends.tvm.tuning.search import Search, State
from graphopt.backends.tvm.tuning.space import Space
from graphopt.backends.tvm.tuning.tasks import Task, merged, tasks_of
from graphopt.compiler import tuned
from graphopt.compiler.compile import SHAPE_FOLDING
from graphopt.compiler.emit import carry_constant_outputs
from graphopt.compiler.kernels import kernels_of
from graphopt.compiler.optimize import optimize
from graphopt.compiler.specialize import specialize
from graphopt.compiler.table import Row, ShapeTable, common, rows_of
from graphopt.errors import MeasurementError, ModelError, TargetError
from graphopt.ir.fused import inline_kernels
from graphopt.ir.interface import check_interface
from graphopt.ir.load import Source, load
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.targets import Target, parse_target

DEFAULT_TRIALS = 200


@dataclass(frozen=True)
class Tracker:
    """Where other machines are found: the address HOST:PORT of TVM's RPC tracker, and the key of their servers."""

    address: str
    key: str


@dataclass(frozen=True)
class TunedKernel:
    """What became of a kernel.

    Attributes:
        name: what it computes, and the shape of its result.
        calls: in one run of the model.
        trials: candidates that were measured; of these `wrong` had other answers, and `failed` did not run.
        before, after: seconds of one call by analysis, and by the best choices.
        choices: the best ones, None where they are those of analysis.

    """

    name: str
    calls: int
    trials: int
    wrong: int
    failed: int
    before: float
    after: float
    choices: Decisions | None


@dataclass(frozen=True)
class Tuning:
    """What was found so far; kernels that have nothing to choose are not in it.

    Attributes:
        trials: candidates that were measured.
        seconds: that it took.

    """

    kernels: tuple[TunedKernel, ...]
    trials: int
    seconds: float

    @property
    def before(self) -> float:
        """Return the seconds in these kernels in one run of the model, by analysis."""
        return sum(kernel.before * kernel.calls for kernel in self.kernels)

    @property
    def after(self) -> float:
        """Return the same by the best choices."""
        return sum(kernel.after * kernel.calls for kernel in self.kernels)


def tune(
    model: Source,
    target: str | Target = "cpu",
    *,
    shapes: ShapeTable | None = None,
    pipeline: str = DEFAULT_PRESET,
    trials: int = DEFAULT_TRIALS,
    seconds: float | None = None,
    seed: int = 0,
    tracker: Tracker | None = None,
    on_progress: Callable[[Tuning], None] = lambda _: None,
) -> Tuning:
    """Measure what the schedules of a model's kernels may decide otherwise, and keep what is faster.

    What is kept lies in the cache folder (`graphopt.compiler.tuned`), for this target on a machine like this one, and
    counts from then on for every model that has the same kernel. A candidate is measured in turns with the best so
    far; it replaces that if it is faster by more than noise, twice, and has the same answer. Each winner is kept at
    once, and so remains when a search is interrupted; the next search goes on from there.

    Args:
        model, target, shapes, pipeline: as for `graphopt.compile`; `cpu{cores=2}` is for two threads.
        trials: how many candidates to measure, over all kernels.
        seconds: after which no further candidate is taken up; timing every kernel once at the start always happens.
        seed: of the order in which candidates come.
        tracker: measure on the servers that a tracker has, instead of here; all of them at the same time.
        on_progress: called with what was found after each step.

    Raises:
        ModelError, PipelineError: the model, its shapes, or the pipeline.
        TargetError: the target is onnxruntime, or no C linker is installed.
        MeasurementError: trials or seconds that allow nothing; the tracker or a server.
        OutputError: what is found cannot be written.

    """
    if trials < 1 or (seconds is not None and seconds <= 0):
        what = f"trials={trials}" if trials < 1 else f"seconds={seconds}"
        raise MeasurementError(f"{what} allows no measurement; give a number above 0")
    facts = target if isinstance(target, Target) else parse_target(target)
    if facts.kind == "onnxruntime":
        raise TargetError("tuning is for native code, and the target onnxruntime has none; take cpu")
    if facts.freestanding or facts.gpu:
        raise TargetError(f"tuning measures on this machine, and target {facts} is another; take cpu")
    begun = time.monotonic()
    place = TrackedMachines(tracker.address, tracker.key) if tracker else ThisMachine()
    tuned.check_place()
    tasks = merged(_tasks(model, rows_of(shapes), pipeline, facts))
    meter = Meter(place, facts)
    search = Search(meter, meter.width)

    def report() -> Tuning:
        found = Tuning(tuple(map(_kernel, search.states)), search.trials, time.monotonic() - begun)
        on_progress(found)
        return found

    known = tuned.decisions(facts)
    search.begin([(task, Space(_asked(task, facts), seed)) for task in tasks], known, report)
    ends = None if seconds is None else begun + seconds
    while search.trials < trials and not search.is_exhausted and (ends is None or time.monotonic() < ends):
        for state in search.step(trials - search.trials):
            _keep(state, facts)
        report()
    return report()


def _tasks(model: Source, rows: Sequence[Row], pipeline: str, target: Target) -> Iterator[Task]:
    """Yield the kernels with knobs of all native regions, for each set of shapes, as `compile` makes them."""
    loaded = load(model, shapes=common(rows))
    check_interface(loaded)
    optimized, _ = optimize(loaded, pipeline, target=target)
    for row in rows:
        specialization = specialize(optimized, row)
        if specialization.model is None:
            raise ModelError(specialization.obstacle)
        inline_kernels(specialization.model)
        specialized, _ = optimize(specialization.model, SHAPE_FOLDING, target=target)
        carry_constant_outputs(specialized.graph)
        kernel_of = kernels_of(specialized, target)
        for region in partition(specialized.graph, supports).regions:
            if region.executor is Executor.TVM:
                with suppress(CodegenError):  # onnxruntime runs it, as it does in the program
                    yield from tasks_of(region.nodes, region.inputs, region.outputs, target, kernel_of)


def _asked(task: Task, target: Target) -> Callable[[Decisions], Choices | None]:
    def asked(decisions: Decisions) -> Choices | None:
        try:
            return task.arrange(decisions, target)[1]
        except Exception:  # noqa: BLE001  # TVM raises Python's own classes; there is no such schedule then
            return None

    return asked


def _kernel(state: State) -> TunedKernel:
    task = state.task
    counts = task.calls, state.trials, state.wrong, state.failed
    return TunedKernel(task.name, *counts, state.before, state.after, state.choices)


def _keep(state: State, target: Target) -> None:
    record = tuned.Record(state.task.name, state.best, state.before, state.after)
    tuned.store(target, state.task.key, record)
