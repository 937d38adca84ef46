"""A model on its way into a job: loaded, with what is known of its pictures, behind its passes."""

from __future__ import annotations

from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.preprocessing import Preprocessing, take_preprocessing
from graphopt.compiler.optimize import optimize
from graphopt.compiler.steps import Steps
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import infer_shapes
from graphopt.targets import Target


class Opset(NamedTuple):
    """Which opset a job takes: models of one older than `least` are converted to `otherwise`."""

    least: int
    otherwise: int


class Opened(NamedTuple):
    """A model that was opened.

    Attributes:
        model: behind its pipeline, with shapes.
        preprocessing: of pictures; the model keeps it.
        pipeline: as text, behind the conversion of the opset where there was one.

    """

    model: ir.Model
    preprocessing: Preprocessing | None
    pipeline: str


def open_model(
    source: Source,
    preprocessing: str | Preprocessing | None,
    pipeline: str,
    steps: Steps,
    *,
    target: str | Target = "cpu",
    opset: Opset | None = None,
) -> Opened:
    """Load a model, and put it through its passes; the drivers say what each argument means.

    Raises:
        ModelError: the model is broken.
        CalibrationError: the preprocessing.
        PipelineError, PassFailureError: the pipeline.

    """
    loaded = load(source)
    given = take_preprocessing(loaded, preprocessing)
    if opset is not None and loaded.opset_imports.get("", opset.least) < opset.least:
        pipeline = ",".join(filter(None, (f"convert-opset{{version={opset.otherwise}}}", pipeline)))
    with steps.step("optimize"):
        optimized, _ = optimize(loaded, pipeline, target=target)
        infer_shapes(optimized)  # whatever the pipeline: what has no type is left alone
    return Opened(optimized, given, pipeline)
