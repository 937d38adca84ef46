"""How long the programs of models take on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import onnx_ir as ir

from graphopt.backends.ort.reference import random_feeds
from graphopt.compiler.compile import compile as compile_model
from graphopt.errors import MeasurementError
from graphopt.ir.shapes import ShapeSpec
from graphopt.runtime.benchmark import Timing, measure_alternating
from graphopt.targets import Target

REPEATS = 30


def latencies(
    models: Sequence[ir.Model], target: Target, shapes: Mapping[str, ShapeSpec] | None = None, *, repeats: int = REPEATS
) -> list[Timing]:
    """Compile models and time their programs in turns, so that what disturbs the machine disturbs all alike.

    Args:
        models: with the same inputs.
        target: to compile for, this machine.
        shapes: of the inputs, where more than the batch, which is 1, is free.
        repeats: runs of each that are timed.

    Raises:
        MeasurementError: there is no native code for a model, whose time would be onnxruntime's.
        ModelError, TargetError: the model or the target.

    """
    programs = [compile_model(model, target, shapes=shapes, cache=False) for model in models]
    for model, program in zip(models, programs, strict=True):
        if not program.variants:
            reasons = (placement.reason for placement in program.report.placements if placement.reason)
            raise MeasurementError(
                f"the latency of model {model.graph.name!r} in native code cannot be measured: "
                f"{next(reasons, 'it has no nodes')}"
            )
    (fixed,) = programs[0].variants
    feeds = random_feeds(models[0], shapes=fixed)
    return measure_alternating([partial(program.run, feeds) for program in programs], repeats=repeats)
