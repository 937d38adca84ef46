"""Running a pipeline: in order, verified, measured, and with a reproducer when a pass fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from graphopt.errors import GraphoptError, ModelError
from graphopt.ir.verify import verify
from graphopt.pipeline.base import Pass, run_counted
from graphopt.pipeline.check import Check
from graphopt.pipeline.context import Context
from graphopt.pipeline.fingerprint import fingerprint
from graphopt.pipeline.limit import RewriteLimit
from graphopt.pipeline.observer import Observer
from graphopt.pipeline.remark import Remark
from graphopt.pipeline.report import PassRecord, Report, Size, unique
from graphopt.pipeline.reproducer import failure
from graphopt.pipeline.text import Fixpoint, Pipeline
from graphopt.targets import Target

MAX_ROUNDS = 32


@dataclass(frozen=True)
class PassManager:
    """Runs a pipeline on models.

    After each pass the model is verified, and a pass that reports no change is held to its word.

    Attributes:
        pipeline: what to run.
        target: the facts that passes may ask for.
        check: executes what passes or rewrites did, and compares the answers.
        reproducer_folder: where the reproducer of a failing pass goes; a temporary folder if None.
        on_pass: called with the text of each pass before it runs, for progress displays.
        seed: of passes that need randomness.
        limit: counts the steps of a run, and stops it after so many.
        observer: told of the model before the run, of what rewrites make of what, and of each pass.

    """

    pipeline: Pipeline
    target: Target
    check: Check | None = None
    reproducer_folder: Path | None = None
    on_pass: Callable[[str], None] | None = None
    seed: int = 0
    limit: RewriteLimit | None = None
    observer: Observer | None = None

    def run(self, model: ir.Model) -> Report:
        """Transform `model` in place and report what was done.

        Raises:
            PassFailureError: a pass raised, broke the model, changed its answers, or would not converge.
            CalibrationError: the model does not run on the inputs to check with.

        """
        return _Run(self, model).report()


class _Run:
    """One run of a manager's pipeline on one model."""

    def __init__(self, manager: PassManager, model: ir.Model) -> None:
        self._manager = manager
        self._model = model
        self._original = model.clone()
        self._check = manager.check or Check()
        self._limit = manager.limit or RewriteLimit()
        self._observer = manager.observer or Observer()
        self._state = fingerprint(model)
        self._size = Size.of(model)
        self._executed: list[Pass] = []
        self._records: list[PassRecord] = []
        self._remarks: list[Remark] = []

    def report(self) -> Report:
        before = self._size
        self._check.start(self._model)
        self._observer.begin(self._model, str(self._manager.pipeline), str(self._manager.target))
        self._run_steps(self._manager.pipeline)
        return Report(str(self._manager.pipeline), before, self._size, self._records, unique(self._remarks))

    def _run_steps(self, pipeline: Pipeline) -> int:
        return sum(
            self._run_fixpoint(step) if isinstance(step, Fixpoint) else self._run_pass(step) for step in pipeline.steps
        )

    def _run_fixpoint(self, fixpoint: Fixpoint) -> int:
        total = 0
        for _ in range(MAX_ROUNDS):
            changes = self._run_steps(fixpoint.body)
            total += changes
            if not changes:
                return total
        last = next(step for step in reversed(self._executed))
        raise self._failure(last, f"{fixpoint} still changes the model after {MAX_ROUNDS} rounds")

    def _run_pass(self, step: Pass) -> int:
        manager = self._manager
        if self._limit.reached:
            return 0
        if manager.on_pass:
            manager.on_pass(str(step))
        context = self._context(step, self._limit, self._observer)
        start = time.perf_counter()
        try:
            changes = run_counted(step, self._model, context)
        except GraphoptError:
            raise
        except Exception as error:
            raise self._failure(step, f"pass {step} raised {type(error).__name__}: {error}") from error
        seconds = time.perf_counter() - start
        self._remarks.extend(context.remarks)
        self._hold_to_contract(step, changes)
        self._executed.append(step)
        self._size = Size.of(self._model) if changes else self._size
        self._records.append(PassRecord(str(step), changes, seconds, self._size))
        self._observer.ran(self._model, self._records[-1], context.remarks)
        return changes

    def _hold_to_contract(self, step: Pass, changes: int) -> None:
        before, self._state = self._state, fingerprint(self._model)
        if not changes:
            if self._state != before:
                raise self._failure(step, f"pass {step} reported no change but changed the model")
            return
        try:
            verify(self._model)
        except ModelError as error:
            raise self._failure(step, f"pass {step} broke the model: {error}") from error
        if step.rounding:
            self._check.allow(step.rounding)
        if difference := self._check.worst(self._model):
            raise self._failure(step, f"pass {step} changed the answers: {difference}")

    def _context(self, step: Pass, limit: RewriteLimit, observer: Observer | None = None) -> Context:
        manager, check = self._manager, self._check
        return Context(
            manager.target, pass_name=step.name, seed=manager.seed, check=check, limit=limit, observer=observer
        )

    def _failure(self, step: Pass, reason: str) -> GraphoptError:
        limit = self._limit.again()
        return failure(
            reason,
            failed=step,
            original=self._original,
            executed=self._executed,
            contexts=lambda earlier: self._context(earlier, limit),
            folder=self._manager.reproducer_folder,
        )
