"""`graphopt.optimize`: a model through a pipeline of passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from graphopt.catalog import passes
from graphopt.ir.collector import patient_collector
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import ShapeSpec
from graphopt.pipeline.check import Check
from graphopt.pipeline.manager import PassManager
from graphopt.pipeline.observer import Observer
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pipeline.report import Report
from graphopt.pipeline.text import parse_pipeline
from graphopt.targets import Target, parse_target

Shapes = Mapping[str, ShapeSpec]
"""Dimensions by input name, as in `{"x": [1, 3, 224, 224]}`; a text stays symbolic, None stays as it is."""


class Optimized(NamedTuple):
    """An optimized model and the report of how it became one."""

    model: ir.Model
    report: Report


def optimize(  # noqa: PLR0913  # all that it can be asked
    model: Source,
    pipeline: str = DEFAULT_PRESET,
    *,
    target: str | Target = "cpu",
    shapes: Shapes | None = None,
    overridable_initializers: bool = False,
    check: Check | None = None,
    on_pass: Callable[[str], None] | None = None,
    reproducer_folder: Path | None = None,
    seed: int = 0,
    observer: Observer | None = None,
) -> Optimized:
    """Run a pipeline of passes on a copy of a model; what is given stays untouched.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        pipeline: a preset (O0, O1, O2, O3) or the text of a pipeline (`graphopt.pipeline.text`).
        target: whose facts the passes may use.
        shapes: dimensions to fix, by input name.
        overridable_initializers: keep initializers that are also inputs as inputs with a default, instead
            of taking them for constants.
        check: `NumericCheck()` executes the model before and after each pass and compares; `RewriteCheck()`
            does so with each rewrite, and refuses those that change answers.
        on_pass: called with the text of each pass before it runs.
        reproducer_folder: where to write what replays a failing pass.
        seed: of passes that need randomness.
        observer: looks on; a `graphopt.History` keeps what each pass did, for a page that shows it.

    Raises:
        ModelError: the model is broken, or the shapes do not fit it.
        PipelineError: the pipeline's text.
        TargetError: the target's text.
        PassFailureError: a pass failed; the message says how to replay it.

    """
    facts = target if isinstance(target, Target) else parse_target(target)
    manager = PassManager(
        parse_pipeline(pipeline, passes()),
        facts,
        check=check,
        on_pass=on_pass,
        reproducer_folder=reproducer_folder,
        seed=seed,
        observer=observer,
    )
    with patient_collector():
        loaded = load(model, overridable_initializers=overridable_initializers, shapes=shapes)
        return Optimized(loaded, manager.run(loaded))
