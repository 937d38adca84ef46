"""Two versions of a kernel in turns: how long they take, and whether their answers are the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tvm
from tvm import s_tir, tirx

from graphopt.backends.tvm.build import linker, tvm_target
from graphopt.backends.tvm.codegen import generate
from graphopt.backends.tvm.schedule.choices import Decisions
from graphopt.backends.tvm.tuning.places import Place, Session
from graphopt.backends.tvm.tuning.search import Comparison, Trial
from graphopt.backends.tvm.tuning.tasks import Task
from graphopt.errors import MeasurementError
from graphopt.hardware import available_cores
from graphopt.numerics import difference
from graphopt.targets import Target
from graphopt.tensors import Array

_PAIRS = 12
_BURST_SECONDS = 0.003
_FEWEST_RUNS, _MOST_RUNS = 2, 10
"""How long one version runs in a row, and how often; the best run counts, since what disturbs a run only delays it."""
_CLOCK_SECONDS = 1e-9
_COLD_WEIGHTS = "cache_flush_cpu_non_first_arg"
"""Before each run, all but the first argument leaves the caches: between two runs of a kernel in a model all the other
kernels run, and only its input was made just before."""
_SYMBOL = "kernel"
_ATTEMPTS = 2
"""A machine may go away while it measures; another one may be there."""


class Meter:
    """Compiles versions of kernels and measures them where it is told to."""

    def __init__(self, place: Place, target: Target) -> None:
        """Take a place; raises TargetError where no C linker is installed."""
        self.width = place.width
        self._place, self._target = place, target
        self._linker = linker()
        self._folder = TemporaryDirectory(prefix="graphopt-")
        self._names = itertools.count()
        self._libraries: dict[tuple[str, str], Path | None] = {}

    def __call__(self, trials: Sequence[Trial]) -> list[Comparison | None]:
        """Measure trials, as many at the same time as there are machines; see `search.Measure`.

        Raises:
            MeasurementError: a machine failed.

        """
        self._compile(trials)
        if self.width == 1:
            return [self._measure(trial) for trial in trials]
        with ThreadPoolExecutor(self.width) as pool:
            return list(pool.map(self._measure, trials))

    def _compile(self, trials: Sequence[Trial]) -> None:
        """Compile the versions that are new, on all cores: nothing is measured meanwhile."""
        sides = ((trial.task, decisions) for trial in trials for decisions in (trial.reference, trial.candidate))
        new = {key: side for side in sides if (key := _version(*side)) not in self._libraries}
        with ThreadPoolExecutor(available_cores()) as pool:
            self._libraries.update(zip(new, pool.map(lambda side: self._library(*side), new.values()), strict=True))

    def _library(self, task: Task, decisions: Decisions) -> Path | None:
        """Return the library of a version; None where there can be none."""
        path = Path(self._folder.name) / f"{next(self._names)}.so"
        try:
            function, _ = task.arrange(decisions, self._target)
            code = generate({_SYMBOL: function.with_attr("global_symbol", _SYMBOL)}, tvm_target(self._target))
            code.export_library(str(path), cc=self._linker)
        except Exception:  # noqa: BLE001  # TVM raises Python's own classes; what cannot be built cannot win
            return None
        return path

    def _measure(self, trial: Trial) -> Comparison | None:
        reference, candidate = (
            self._libraries[_version(trial.task, decisions)] for decisions in (trial.reference, trial.candidate)
        )
        if reference is None or candidate is None:
            return None
        for _ in range(_ATTEMPTS - 1):
            with suppress(MeasurementError):
                return self._measure_in_session(trial.task, reference, candidate)
        return self._measure_in_session(trial.task, reference, candidate)

    def _measure_in_session(self, task: Task, reference: Path, candidate: Path) -> Comparison:
        with self._place.session(self._target.cores) as session:
            return compare(session, task.function, reference, candidate)


def compare(session: Session, function: tirx.PrimFunc, reference: Path, candidate: Path) -> Comparison:
    """Run two libraries with versions of a kernel in turns, on the same random inputs."""
    made = outputs_of(function)
    sides = []
    shared = {
        index: tvm.runtime.tensor(array, session.device)
        for index, array in enumerate(arguments_of(function))
        if index not in made
    }
    for library in (reference, candidate):
        arguments = [
            shared[index] if index in shared else tvm.runtime.tensor(_zeros(parameter), session.device)
            for index, parameter in enumerate(function.params)
        ]
        sides.append(_Side(session.load(library), arguments, session.device))
    errors = (difference("", *(side.arguments[index].numpy() for side in sides)).error for index in made)
    error = max(errors, default=0.0)
    seconds = max(_CLOCK_SECONDS, *(min(side.run(_FEWEST_RUNS)) for side in sides))
    runs = min(max(_FEWEST_RUNS, int(_BURST_SECONDS / seconds)), _MOST_RUNS)
    pairs = [[min(side.run(runs)) for side in sides] for _ in range(_PAIRS)]
    return Comparison([pair[0] for pair in pairs], [pair[1] for pair in pairs], error)


class _Side:
    """One version, which has run once."""

    def __init__(self, library: Any, arguments: Sequence[Any], device: Any) -> None:
        self.arguments = arguments
        self._library, self._device = library, device
        library[_SYMBOL](*arguments)

    def run(self, times: int) -> Sequence[float]:
        """Return the seconds of each run."""
        timer = self._library.time_evaluator(_SYMBOL, self._device, number=1, repeat=times, f_preproc=_COLD_WEIGHTS)
        return list(timer(*self.arguments).results)


def _version(task: Task, decisions: Decisions) -> tuple[str, str]:
    return task.key, json.dumps(dict(decisions), sort_keys=True)


def outputs_of(function: tirx.PrimFunc) -> list[int]:
    """Return the indices of the parameters that a kernel writes."""
    schedule = s_tir.Schedule(function)
    blocks = map(schedule.get, schedule.get_child_blocks(schedule.get_sblock("root")))
    written = [region.source for block in blocks for region in block.writes]
    return [index for index, parameter in enumerate(function.params) if any(parameter.same_as(one) for one in written)]


def arguments_of(function: tirx.PrimFunc) -> list[Array]:
    """Return numbers for the parameters of a kernel: normally distributed, or 0 where they are no floats."""
    random = np.random.default_rng(0)
    return [
        random.standard_normal(_shape(parameter), np.float32).astype(_dtype(parameter))
        if _dtype(parameter).startswith("float")
        else _zeros(parameter)
        for parameter in function.params
    ]


def _zeros(parameter: tirx.Var) -> Array:
    return np.zeros(_shape(parameter), _dtype(parameter))


def _shape(parameter: tirx.Var) -> tuple[int, ...]:
    return tuple(map(int, parameter.ty.shape))


def _dtype(parameter: tirx.Var) -> str:
    return str(parameter.ty.dtype)
