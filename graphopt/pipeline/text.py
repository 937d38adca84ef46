"""Pipelines as text.

    pipeline := [ step { ',' step } ]
    step     := 'fixpoint' '(' pipeline ')' | preset | pass
    pass     := name [ '{' options '}' ]            (graphopt/spec.py)

`str` of a parsed pipeline is a text that parses to an equal one, with presets spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from graphopt.errors import PipelineError
from graphopt.nearest import did_you_mean
from graphopt.pipeline.base import Pass
from graphopt.pipeline.options import build_pass
from graphopt.pipeline.presets import PRESETS
from graphopt.spec import Spec, SpecError, scan_spec, skip_space

FIXPOINT = "fixpoint"


class Pipeline(NamedTuple):
    """Steps in order."""

    steps: tuple[Pass | Fixpoint, ...]

    def passes(self) -> Iterator[Pass]:
        """Yield every pass in order, those inside a fixpoint once."""
        for step in self.steps:
            if isinstance(step, Fixpoint):
                yield from step.body.passes()
            else:
                yield step

    def __str__(self) -> str:
        return ",".join(map(str, self.steps))


class Fixpoint(NamedTuple):
    """Steps repeated in order until a whole round changes nothing."""

    body: Pipeline

    def __str__(self) -> str:
        return f"{FIXPOINT}({self.body})"


def parse_pipeline(text: str, passes: Mapping[str, type[Pass]]) -> Pipeline:
    """Read a pipeline, looking up names in `passes` and the presets.

    Raises:
        PipelineError: the syntax, an unknown name or option, or a pass that stands before one it requires.

    """
    try:
        pipeline, end = _scan_pipeline(text, skip_space(text, 0), passes)
        if end != len(text):
            raise SpecError(f"unexpected {text[end]!r}", text, end)
    except SpecError as error:
        raise PipelineError(f"cannot read pipeline: {error}") from error
    _check_order(pipeline)
    return pipeline


def _scan_pipeline(text: str, position: int, passes: Mapping[str, type[Pass]]) -> tuple[Pipeline, int]:
    steps: list[Pass | Fixpoint] = []
    if position == len(text) or text[position] == ")":
        return Pipeline(()), position
    while True:
        found, position = _scan_step(text, position, passes)
        steps.extend(found)
        position = skip_space(text, position)
        if not text.startswith(",", position):
            return Pipeline(tuple(steps)), position
        position = skip_space(text, position + 1)


def _scan_step(text: str, position: int, passes: Mapping[str, type[Pass]]) -> tuple[tuple[Pass | Fixpoint, ...], int]:
    spec, end = scan_spec(text, position)
    if spec.name == FIXPOINT:
        return _scan_fixpoint(text, end, passes)
    if spec.name in PRESETS and not spec.options:
        return parse_pipeline(PRESETS[spec.name], passes).steps, end
    return (_build(spec, passes),), end


def _scan_fixpoint(text: str, position: int, passes: Mapping[str, type[Pass]]) -> tuple[tuple[Fixpoint], int]:
    position = skip_space(text, position)
    if not text.startswith("(", position):
        raise SpecError("expected '(' after fixpoint", text, position)
    body, position = _scan_pipeline(text, skip_space(text, position + 1), passes)
    if not text.startswith(")", position):
        raise SpecError("missing ')'", text, position)
    return (Fixpoint(body),), position + 1


def _build(spec: Spec, passes: Mapping[str, type[Pass]]) -> Pass:
    if spec.name not in passes:
        known = [*passes, *PRESETS, FIXPOINT]
        hint = did_you_mean(spec.name, known)
        raise PipelineError(f"unknown pass {spec.name!r}{hint}; `graphopt passes` lists them")
    return build_pass(passes[spec.name], spec.options)


def _check_order(pipeline: Pipeline) -> None:
    seen: set[str] = set()
    for step in pipeline.passes():
        if missing := [name for name in step.requires if name not in seen]:
            raise PipelineError(f"pass {step.name!r} must come after {missing[0]!r}: add it before")
        seen.add(step.name)
