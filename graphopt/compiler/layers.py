"""How far each layer of a quantized model is off, measured on data."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.drawn import draw
from graphopt.calibration.source import Data, open_samples
from graphopt.compiler.optimize import optimize
from graphopt.compiler.quantize import Quantized
from graphopt.compiler.steps import Progress
from graphopt.inspect.fidelity import Judge
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import infer_shapes
from graphopt.quantization.error_table import ErrorTable, error_table
from graphopt.quantization.migration import migrate
from graphopt.quantization.partial import answer_error, results_of
from graphopt.quantization.plan import Plan
from graphopt.quantization.scheme import parse_scheme
from graphopt.quantization.sensitivity import costs_alone
from graphopt.report.history import History
from graphopt.report.snapshot import Measured

SAMPLES = 16
"""How many are looked at, drawn from all of them. Every layer is quantized alone once."""


class Planned(NamedTuple):
    """A model as it was when it was quantized, and the plan for it as it is then."""

    model: ir.Model
    plan: Plan


def as_planned(source: Source, quantized: Quantized) -> Planned:
    """Return what a quantized model was made of.

    Args:
        source: what `graphopt.quantize` was given.
        quantized: what it made of it.

    Raises:
        ModelError: the model is broken.

    """
    report = quantized.report
    model, _ = optimize(load(source), report.pipeline)
    infer_shapes(model)
    migrate(model, report.plan.divisors)
    model.metadata_props.update(quantized.model.metadata_props)  # what pictures it takes
    return Planned(model, replace(report.plan, divisors={}))


def layer_errors(
    planned: Planned,
    quantized: Quantized,
    data: Data,
    *,
    samples: int = SAMPLES,
    threads: int = 0,
    on_layer: Progress = lambda *_: None,
) -> ErrorTable:
    """Compare what each layer makes in a quantized model and in its source, and quantize each alone.

    Args:
        planned: what was quantized.
        quantized: what became of it.
        data: to measure on (`graphopt.calibration.source.open_samples`).
        samples: how many to take at most.
        threads: of onnxruntime; 0 means as many as this process may run on.
        on_layer: told of the step, how many layers are done, and of how many.

    Raises:
        ModelError, CalibrationError: the model or the data, as in `graphopt.quantize`.

    """
    model, plan = planned
    taken = draw(open_samples(data, model), samples)
    layers = results_of(model, plan)
    judge = Judge(model, taken, threads=threads)
    evaluate = answer_error(model, plan, parse_scheme(quantized.report.scheme).form, judge)
    costs = costs_alone(layers, evaluate, lambda done: on_layer("compare layers", done, len(layers)))
    return error_table(model, quantized.model, layers, taken, costs, threads=threads)


def error_history(planned: Planned, quantized: Quantized, errors: ErrorTable, title: str = "") -> History:
    """Return the model before and behind its quantization, whose layers say what each of them alone does to answers.

    Args:
        planned, quantized: as for `layer_errors`.
        errors: what that returned.
        title: of the page; by default the name of the graph.

    """
    model, plan = planned
    results = results_of(model, plan)
    alone = {results[one.layer]: one.contribution for one in errors.layers}
    history = History(title)
    history.look("float32", model)
    makers = ((node, str(node.outputs[0].name)) for node in quantized.model.graph if node.outputs)
    history.look("quantized", quantized.model, {node: Measured(error=alone.get(name)) for node, name in makers})
    return history
