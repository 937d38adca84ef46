"""Which candidate is measured next, and which one wins.

Trials are dealt out by a kernel's share of the model's time (D'Hondt's method: the next one goes to the kernel with
the most seconds a trial), so that a search that ends early has spent its time where it counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphopt.backends.tvm.schedule.choices import Decisions
from graphopt.backends.tvm.tuning.space import Space
from graphopt.backends.tvm.tuning.tasks import Task

TOLERANCE = 1e-4
"""Of the largest output: how far a candidate may be from the default, since sums are made in another order."""
_LEAST_GAIN = 0.01
_BEGUN_TOGETHER = 8
"""Kernels timed in one go at the start, so that they are compiled on all cores."""


@dataclass(frozen=True)
class Trial:
    """Two versions of a kernel that are to be measured in turns."""

    task: Task
    reference: Decisions
    candidate: Decisions


@dataclass(frozen=True)
class Comparison:
    """What was measured, in seconds, pair by pair; and how far the outputs are apart, relative to their scale."""

    reference: Sequence[float]
    candidate: Sequence[float]
    error: float = 0.0

    @property
    def is_faster(self) -> bool:
        """Whether the candidate is faster by more than noise: it won three pairs of four, and by a percent."""
        ratios = [theirs / ours for ours, theirs in zip(self.reference, self.candidate, strict=True)]
        *_, upper = statistics.quantiles(ratios, n=4)
        return statistics.median(ratios) < 1 - _LEAST_GAIN and upper < 1

    @property
    def is_right(self) -> bool:
        """Whether both versions have the same answer."""
        return self.error <= TOLERANCE


Measure = Callable[[Sequence[Trial]], Sequence[Comparison | None]]
"""Measures trials of different kernels, perhaps at the same time on several machines; None where one cannot run."""


@dataclass
class State:
    """How far the search of a kernel is.

    Attributes:
        before, after: seconds of a run with the decisions of analysis, and with the best ones.
        choices: the best ones, None where they are those of analysis.
        trials, wrong, failed: candidates that were measured; that had other answers; that did not run.

    """

    task: Task
    space: Space
    default: Decisions
    before: float = 0.0
    after: float = 0.0
    choices: Decisions | None = None
    trials: int = 0
    wrong: int = 0
    failed: int = 0
    is_exhausted: bool = False

    @property
    def best(self) -> Decisions:
        """Return the best decisions so far."""
        return self.default if self.choices is None else self.choices

    @property
    def seconds(self) -> float:
        """Return the seconds of all its calls in a run of the model."""
        return self.after * self.task.calls


@dataclass
class Search:
    """The search over all kernels of a model.

    Attributes:
        measure: how trials are measured.
        width: how many trials it takes at a time.
        states: by kernel.
        trials: how many candidates were measured.

    """

    measure: Measure
    width: int
    states: list[State] = field(default_factory=list)
    trials: int = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether every candidate of every kernel was measured."""
        return all(state.is_exhausted for state in self.states)

    def begin(
        self,
        spaces: Sequence[tuple[Task, Space]],
        known: Mapping[str, Decisions],
        on_step: Callable[[], object] = lambda: None,
    ) -> None:
        """Time every kernel as it is by analysis, beside what is known to be better from before."""
        begun: list[tuple[State, Trial]] = []
        for task, space in spaces:
            default = space.add({})
            state = State(task, space, default)
            if task.key in known and (better := space.add(known[task.key])) != default:
                state.choices = better
            begun.append((state, Trial(task, default, state.best)))
        for start in range(0, len(begun), _BEGUN_TOGETHER):
            batch = begun[start : start + _BEGUN_TOGETHER]
            for (state, _), found in zip(batch, self.measure([trial for _, trial in batch]), strict=True):
                if found is not None:
                    self._take_up(state, found)
            on_step()

    def step(self, most: int) -> Iterator[State]:
        """Measure a candidate each of a few kernels, `most` at most; yield those that have a new best one."""
        trials = [(state, trial) for state, trial in self._next_trials(min(most, self.width))]
        self.trials += len(trials)
        found = self.measure([trial for _, trial in trials]) if trials else ()
        for (state, trial), comparison in zip(trials, found, strict=True):
            if self._wins(state, comparison) and self._is_confirmed(state, trial.candidate):
                yield state

    def _take_up(self, state: State, found: Comparison) -> None:
        if not found.is_right:
            state.choices = None
        state.before = statistics.median(found.reference)
        state.after = state.before if state.choices is None else statistics.median(found.candidate)
        self.states.append(state)

    def _next_trials(self, count: int) -> Iterator[tuple[State, Trial]]:
        """Yield one trial each for the kernels that are due."""
        due = sorted(self.states, key=lambda state: state.seconds / (state.trials + 1), reverse=True)
        for state in due:
            if count == 0:
                return
            candidate = None if state.is_exhausted else state.space.next(state.best)
            if candidate is None:
                state.is_exhausted = True
                continue
            state.trials += 1
            count -= 1
            yield state, Trial(state.task, state.best, candidate)

    def _wins(self, state: State, found: Comparison | None) -> bool:
        if found is None:
            state.failed += 1
            return False
        if not found.is_right:
            state.wrong += 1
            return False
        return found.is_faster

    def _is_confirmed(self, state: State, candidate: Decisions) -> bool:
        """Measure a winner once more, against analysis: the luckiest of many would win otherwise."""
        (found,) = self.measure([Trial(state.task, state.default, candidate)])
        if found is None or not found.is_right or not found.is_faster:
            return False
        state.choices = candidate
        state.before, state.after = statistics.median(found.reference), statistics.median(found.candidate)
        return True
