"""The turns of several runtimes on one case, and what came of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from graphopt.backends.partition import Executor
from graphopt.benchmark.case import Case
from graphopt.benchmark.quiet import OtherLoad, Watch
from graphopt.benchmark.runtimes import OPPONENTS, PROGRAM, SELF
from graphopt.benchmark.turn import Turn, answer, peak, take_turn
from graphopt.benchmark.worker import Run, Worker
from graphopt.compiler.steps import Progress
from graphopt.errors import GraphoptError, MeasurementError
from graphopt.numerics import DEFAULT_TOLERANCE, Difference, differences
from graphopt.runtime.benchmark import BURST, QUARTILES_FROM, Timing, spread
from graphopt.runtime.module import CompiledModule
from graphopt.tensors import Feeds


@dataclass
class Score:
    """What one runtime did on a case.

    Attributes:
        failure: why it did not run, in words; the rest means nothing then.
        note: what should be known of it, in words.
        memory: bytes that the model took at most, from loading it to the last run, inputs and outputs included;
            None where the system does not tell.
        difference: the worst one from graphopt's answers; None for graphopt itself.

    """

    version: str = ""
    threads: int = 0
    turns: list[Turn] = field(default_factory=list)
    difference: Difference | None = None
    failure: str = ""
    note: str = ""
    memory: int | None = None

    @property
    def timing(self) -> Timing:
        """All timed runs."""
        return Timing(tuple(sample for turn in self.turns for sample in turn.samples))

    @property
    def cores(self) -> float:
        """How many cores it used, on average."""
        return sum(turn.cores for turn in self.turns) / len(self.turns)

    @property
    def slept(self) -> bool:
        """Whether its threads slept in the turns of others."""
        return all(turn.slept for turn in self.turns)

    @property
    def is_equal(self) -> bool:
        """Whether its answers are graphopt's."""
        return self.difference is None or self.difference.error <= DEFAULT_TOLERANCE


@dataclass(frozen=True)
class Ratio:
    """An opponent's time over graphopt's: above 1, graphopt is faster.

    Attributes:
        value: of the medians of all runs.
        spread: interquartile range over median of the ratios of single turns, None of fewer than 4; what
            disturbs the machine for longer than a turn disturbs the ratio less than the times.

    """

    value: float
    spread: float | None


@dataclass(frozen=True)
class Outcome:
    """A case, by runtime what it did, and what other programs took meanwhile (None: the system does not tell)."""

    case: Case
    scores: Mapping[str, Score]
    others: OtherLoad | None

    @property
    def ratios(self) -> dict[str, Ratio]:
        """By opponent that ran."""
        ours = self.scores[SELF]
        return {name: _ratio(score, ours) for name, score in self.scores.items() if name != SELF and not score.failure}

    @property
    def is_equal(self) -> bool:
        """Whether all that ran gave the same answers."""
        return all(score.is_equal for score in self.scores.values())


def compete(case: Case, opponents: Sequence[str], *, repeats: int, on_step: Progress = lambda *_: None) -> Outcome:
    """Time graphopt and its opponents on a case, in turns, each in a process of its own.

    An opponent that fails is out, and the others go on.

    Raises:
        GraphoptError: graphopt itself fails.

    """
    scores = {name: Score() for name in (SELF, *opponents)}
    loads: list[OtherLoad | None] = []
    with TemporaryDirectory(prefix="graphopt-") as folder, ExitStack() as stack:
        workers = {}
        for name, path in _files(case, scores, Path(folder), on_step):
            on_step(f"loading into {name}", 0, None)
            with _out_on_failure(name, scores):
                workers[name] = stack.enter_context(_start(name, path, case, scores[name]))
        on_step("comparing the answers", 0, None)
        _compare(workers, scores)
        for begun in range(0, repeats, BURST):
            on_step("running", begun, repeats)
            turn = partial(take_turn, count=min(BURST, repeats - begun))
            for name, worker in workers.items():
                if not scores[name].failure:
                    with _out_on_failure(name, scores):
                        loads.append(_watched(worker, turn, scores[name]))
        for name, worker in workers.items():
            if not scores[name].failure:
                with _out_on_failure(name, scores):
                    scores[name].memory = _memory(worker)
    return Outcome(case, scores, _total(loads))


def _files(case: Case, scores: Mapping[str, Score], folder: Path, on_step: Progress) -> Iterator[tuple[str, Path]]:
    """Write what each worker loads."""
    module = case.compile(lambda stage: on_step(stage, 0, None))
    scores[SELF].note = _foreign_nodes(module)
    module.save(folder / "program")
    yield SELF, folder / "program"
    yield from ((name, case.write_model(folder, name)) for name in scores if name != SELF)


def _foreign_nodes(module: CompiledModule) -> str:
    """Say how much of graphopt's program is onnxruntime's, and so compared with itself."""
    placements = module.report.placements
    foreign = sum(placement.executor == Executor.ONNXRUNTIME for placement in placements)
    return f"onnxruntime runs {foreign} of its {len(placements)} nodes" if foreign else ""


def _start(name: str, path: Path, case: Case, score: Score) -> Worker:
    threads = case.recipe.target.cores
    runtime = PROGRAM if name == SELF else OPPONENTS[name].at(case.recipe.target.precision)
    worker = Worker(name, runtime, path, threads, case.feeds)
    score.version, score.threads = worker.version, worker.threads
    if worker.threads != threads:
        worker.close()
        raise MeasurementError(f"{name} uses {worker.threads} threads where {threads} were asked for")
    return worker


def _compare(workers: Mapping[str, Worker], scores: Mapping[str, Score]) -> None:
    ours: Feeds = {}
    for name, worker in workers.items():
        with _out_on_failure(name, scores):
            answers = worker.ask(answer)
            if name == SELF:
                ours = answers
            else:
                scores[name].difference = differences(answers, ours)[0]


def _memory(worker: Worker) -> int | None:
    before, after = worker.resident, worker.ask(peak)
    return None if before is None or after is None else after - before


def _watched(worker: Worker, turn: Callable[[Run], Turn], score: Score) -> OtherLoad | None:
    watch = Watch()
    done = worker.ask(turn)
    score.turns.append(done)
    return watch.stop(done.used)


@contextmanager
def _out_on_failure(name: str, scores: Mapping[str, Score]) -> Iterator[None]:
    """Note why an opponent fails; graphopt itself may not."""
    try:
        yield
    except GraphoptError as error:
        if name == SELF:
            raise
        scores[name].failure = str(error)


def _ratio(theirs: Score, ours: Score) -> Ratio:
    pairs = zip(theirs.turns, ours.turns, strict=True)
    turns = [statistics.median(turn.samples) / statistics.median(own.samples) for turn, own in pairs]
    return Ratio(theirs.timing.median / ours.timing.median, spread(turns) if len(turns) >= QUARTILES_FROM else None)


def _total(loads: Sequence[OtherLoad | None]) -> OtherLoad | None:
    known = [load for load in loads if load is not None]
    return sum(known, OtherLoad()) if len(known) == len(loads) else None
