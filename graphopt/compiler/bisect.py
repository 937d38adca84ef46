"""`graphopt.bisect`: which rewrite changes a model's answers, and the text of a pipeline without it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from graphopt.catalog import passes
from graphopt.compiler.optimize import Shapes
from graphopt.errors import GraphoptError, ModelError, PassFailureError, RunError
from graphopt.ir.load import Source, load
from graphopt.pipeline.base import Pass
from graphopt.pipeline.limit import RewriteLimit, Step
from graphopt.pipeline.manager import PassManager
from graphopt.pipeline.numeric_check import NumericCheck
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pipeline.text import Fixpoint, Pipeline, parse_pipeline
from graphopt.rewrite.driver import RewritePass
from graphopt.targets import Target, host

MOST_CULPRITS = 32


@dataclass(frozen=True)
class Culprit:
    """A step of a pipeline that changes answers.

    Attributes:
        step: the pass, and where it is made of rules the rule and the node.
        number, steps: which step it was, of how many.
        difference: what it does to the worst output, in words.

    """

    step: Step
    number: int
    steps: int
    difference: str

    def __str__(self) -> str:
        return f"{self.step} ({self.number} of {self.steps} steps): {self.difference}"


@dataclass(frozen=True)
class Bisection:
    """What was found.

    Attributes:
        culprits: in the order in which they were found; empty if the pipeline keeps the answers.
        pipeline: its text without them; skipping them it keeps the answers.
        runs: how often a pipeline ran.

    """

    culprits: tuple[Culprit, ...]
    pipeline: str
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return asdict(self)


def bisect(
    model: Source,
    pipeline: str | Pipeline = DEFAULT_PRESET,
    *,
    check: NumericCheck | None = None,
    target: Target | None = None,
    shapes: Shapes | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Bisection:
    """Find the first step of a pipeline after which a model answers differently, then the next, until none does.

    A step is one rewrite of one rule, or one run of a pass that is not made of rules; finding one of n takes
    about log2 n runs of the pipeline.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model; it stays untouched.
        pipeline: what to look into.
        check: holds the inputs and the tolerance; seeded random inputs if None.
        target: whose facts the passes may use; this machine if None.
        shapes: dimensions to fix, by input name.
        on_step: called with what is tried next.

    Raises:
        ModelError, PipelineError, CalibrationError: as `graphopt.optimize`.
        PassFailureError: no text of a pipeline avoids the failure.

    """
    search = _Search(load(model, shapes=shapes), check or NumericCheck(), target or host(), on_step)
    steps = parse_pipeline(pipeline, passes()) if isinstance(pipeline, str) else pipeline
    culprits: list[Culprit] = []
    while culprit := search.first(steps):
        culprits.append(culprit)
        without = _without(steps, culprit.step)
        if without == steps or len(culprits) > MOST_CULPRITS:
            raise PassFailureError(
                f"{culprit}, and no text skips it; this is a bug in graphopt", pass_text=culprit.step.pass_name
            )
        steps = without
    return Bisection(tuple(culprits), str(steps), search.runs)


class _Search:
    """Runs prefixes of pipelines on one model."""

    def __init__(
        self, model: ir.Model, check: NumericCheck, target: Target, on_step: Callable[[str], None] | None
    ) -> None:
        self.runs = 0
        self._model = model
        self._check = check
        self._target = target
        self._on_step = on_step
        check.start(model)

    def first(self, pipeline: Pipeline) -> Culprit | None:
        """Return the first step after which the answers differ, or None."""
        everything = RewriteLimit()
        difference = self._difference(pipeline, everything)
        if difference is None:
            return None
        good, bad = 0, len(everything.steps)
        while bad - good > 1:
            middle = (good + bad) // 2
            found = self._difference(pipeline, RewriteLimit(middle))
            good, bad, difference = (middle, bad, difference) if found is None else (good, middle, found)
        return Culprit(everything.steps[bad - 1], bad, len(everything.steps), difference)

    def _difference(self, pipeline: Pipeline, limit: RewriteLimit) -> str | None:
        """Return how the answers differ after so many steps, or None."""
        if self._on_step:
            self._on_step("all steps" if limit.limit is None else f"the first {limit.limit} steps")
        self.runs += 1
        model = self._model.clone()
        with tempfile.TemporaryDirectory(prefix="graphopt-bisect-") as folder:
            try:
                PassManager(pipeline, self._target, limit=limit, reproducer_folder=Path(folder)).run(model)
                worst = self._check.worst(model)
            except PassFailureError as error:
                limit.count(Step(error.pass_text.partition("{")[0]))  # what failed had no time to count itself
                return _sentence(error)
            except (ModelError, RunError) as error:
                return _sentence(error)
        return None if worst is None else str(worst)


def _sentence(error: GraphoptError) -> str:
    return str(error).partition("; ")[0]


def _without(pipeline: Pipeline, step: Step) -> Pipeline:
    """Return the pipeline without a step: its pass skips the match, or is left out where it cannot."""
    kept: list[Pass | Fixpoint] = []
    for one in pipeline.steps:
        if isinstance(one, Fixpoint):
            kept.append(Fixpoint(_without(one.body, step)))
        elif one.name != step.pass_name:
            kept.append(one)
        elif step.at and isinstance(one, RewritePass):
            kept.append(replace(one, skip=(*one.skip, step.at)))
    return Pipeline(tuple(kept))
