"""`graphopt.quantize`: a model in integers, from data without labels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.collect import collect
from graphopt.calibration.drawn import draw
from graphopt.calibration.parallel import collect_in_parts
from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.ranges import RangeMethod
from graphopt.calibration.source import Data, Samples, open_samples
from graphopt.calibration.statistics import Statistics
from graphopt.compiler.migrating import migrated
from graphopt.compiler.opening import Opset, open_model
from graphopt.compiler.planning import Planner
from graphopt.compiler.quantization_report import QuantizationReport
from graphopt.compiler.sparing import Sparer, Sparing
from graphopt.compiler.steps import Progress, Steps
from graphopt.errors import CalibrationError, ModelError
from graphopt.inspect.fidelity import Fidelity, compare
from graphopt.inspect.goal import Goal
from graphopt.ir.load import Source
from graphopt.ir.tensors import constant_bytes
from graphopt.ir.verify import verify
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.quantization.emit import emit
from graphopt.quantization.refine import measurable
from graphopt.quantization.scheme import Scheme, parse_scheme
from graphopt.quantization.selection import Selection, select

METADATA_KEY = "graphopt.quantization"
"""Where a quantized model says by which scheme it was."""

JUDGED = 256
"""How many samples the answers are compared on at most, drawn from all of them."""


class Quantized(NamedTuple):
    """A quantized model and the report of how it became one."""

    model: ir.Model
    report: QuantizationReport


def quantize(  # noqa: PLR0913  # a keyword each that a user may say something by
    model: Source,
    data: Data | None = None,
    target: str | Scheme = "x64",
    *,
    method: str | RangeMethod = RangeMethod.AUTO,
    preprocessing: str | Preprocessing | None = None,
    limit: int | None = None,
    max_error: float | None = None,
    agreement: float | None = None,
    pipeline: str = DEFAULT_PRESET,
    workers: int = 1,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Quantized:
    """Quantize a model after training; what is given stays untouched.

    The model goes through a pipeline of passes, runs on the data once to observe its values, and is written with
    QuantizeLinear and DequantizeLinear where the target takes them. Inputs and outputs stay as they are. With the
    method `auto`, ranges are those of the other methods that are best for the answers, weights and biases are fitted to
    the data, and means that are still off are taken away where the answers to other samples get better. The other
    methods choose ranges as `RangeMethod` says, and round weights to the nearest.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        data: to calibrate with (`graphopt.calibration.source.open_samples`): a .npz, a .npy, a folder of pictures, or
            an iterable of feeds. It can be left out where only weights are quantized.
        target: who is to take the model, a scheme (`graphopt.quantization.scheme`): `x64`, `tensorrt`, `graphopt`,
            `weights-int8`, `x64{weights=int16}`.
        method: `auto`, `minmax`, `percentile`, `entropy` or `mse`.
        preprocessing: of pictures, as text or parsed; the model keeps it. By default what the model keeps already.
        limit: how many samples to take at most, the first ones.
        max_error: how large the relative error of the answers may be. Where it is larger, few nodes stay in float32:
            those that cost the answers most when they alone are quantized, so many as it takes.
        agreement: for which share of the samples the class has to stay the same, as 0.99, in the same way.
        pipeline: a preset or the text of a pipeline of passes, run before.
        workers: processes that calibrate on parts of the data at once, by Dask (`pip install 'graphopt[parallel]'`), or
            tasks of its client where one is open. A script that asks for several has to guard what it does by
            `if __name__ == "__main__"`.
        threads: of onnxruntime; 0 means as many as this process may run on, and one for each of several workers.
        on_progress: told of each step how far it is.

    Raises:
        ModelError: the model is broken, or nothing in it can compute in integers.
        CalibrationError: the data, the preprocessing, the method, or answers too good for any integer.
        TargetError: the scheme.
        PipelineError, PassFailureError: the pipeline.

    """
    scheme = target if isinstance(target, Scheme) else parse_scheme(target)
    goal = Goal(max_error, agreement)
    work = _Work(scheme, _method(method), goal, workers, threads, Steps.of(on_progress))
    opset = Opset(scheme.opset, scheme.opset)
    optimized, given, text = open_model(model, preprocessing, pipeline, work.steps, opset=opset)
    samples = None if data is None else open_samples(data, optimized, given)
    if samples is not None and limit is not None:
        samples = samples.part(0, limit)
    return work.run(optimized, samples, text)


@dataclass(frozen=True)
class _Work:
    """One quantization, step by step."""

    scheme: Scheme
    method: RangeMethod
    goal: Goal
    workers: int
    threads: int
    steps: Steps

    def run(self, model: ir.Model, samples: Samples | None, pipeline: str) -> Quantized:
        selection = select(model, self.scheme)
        if not selection.products:
            raise ModelError(_why_nothing(model, selection))
        if samples is None and not self.scheme.weights_only:
            raise CalibrationError(
                f"scheme {self.scheme} quantizes activations: give data to calibrate with, or take weights-int8"
            )
        if samples is None and self.goal:
            raise CalibrationError(f"whether there is {self.goal} is measured on data: give some")
        planner = self._planner(model, samples, selection)
        whole = Sparing(planner.plan(samples), planner.selection, (), None)
        sparing = self._spare(planner.model, samples, whole)
        quantized = planner.model.clone()
        with self.steps.step("write"):
            emit(quantized, sparing.plan, self.scheme.form)
            quantized.metadata_props[METADATA_KEY] = str(self.scheme)
            verify(quantized)
        fidelity = None if samples is None else self._judge(model, quantized, samples)
        return Quantized(
            quantized,
            QuantizationReport(
                scheme=str(self.scheme),
                method=str(self.method),
                pipeline=pipeline,
                plan=replace(sparing.plan, divisors=planner.divisors),
                samples=planner.statistics.samples,
                integers=len(sparing.selection.nodes),
                floats=sparing.selection.refusals,
                fidelity=fidelity,
                spared=sparing.spared,
                before_sparing=sparing.before if sparing.spared else None,
                bytes_before=constant_bytes(model),
                bytes_after=constant_bytes(quantized),
                seconds=self.steps.seconds,
            ),
        )

    def _planner(self, model: ir.Model, samples: Samples | None, selection: Selection) -> Planner:
        """Observe what the plan is made from: the model with scales moved, where kernels take that and it is better."""
        fits = self.method is RangeMethod.AUTO
        values = [str(value.name) for value in selection.sources]
        found = self._observe("calibrate", model, samples, values, measurable(selection) if fits else [])
        planner = Planner(model, selection, found, self.scheme, self.method, self.threads, self.steps)
        if samples is None or not fits or not values or not self.scheme.facts.epilogues:
            return planner
        return migrated(planner, samples, partial(self._observe, "calibrate again", samples=samples))

    def _observe(
        self,
        step: str,
        model: ir.Model,
        samples: Samples | None,
        values: Collection[str],
        grams: Collection[str],
    ) -> Statistics:
        if samples is None:
            return Statistics()
        with self.steps.step(step, samples.count) as done:
            if self.workers == 1:
                return collect(model, samples, values, grams, threads=self.threads, progress=done)
            found = collect_in_parts(model, samples, values, grams, parts=self.workers, threads=self.threads or 1)
            done(found.samples)
            return found

    def _spare(self, model: ir.Model, samples: Samples | None, whole: Sparing) -> Sparing:
        """Spare the nodes that keep the answers from the goal."""
        if samples is None or not self.goal:
            return whole
        sparer = Sparer(model, self.scheme, draw(samples, JUDGED), self.threads, self.steps)
        return sparer.spare(whole.plan, whole.selection, self.goal)

    def _judge(self, model: ir.Model, quantized: ir.Model, samples: Samples) -> Fidelity | None:
        judged = draw(samples, JUDGED)
        with self.steps.step("compare", judged.count) as done:
            return compare(model, quantized, judged, threads=self.threads, on_samples=done)


def _method(method: str | RangeMethod) -> RangeMethod:
    try:
        return RangeMethod(method)
    except ValueError:
        raise CalibrationError(
            f"unknown method {method!r} to choose ranges; there are {', '.join(RangeMethod)}"
        ) from None


def _why_nothing(model: ir.Model, selection: Selection) -> str:
    node, reason = next(iter(selection.refusals.items()), ("it", "it has no nodes"))
    return f"nothing in model {model.graph.name!r} can compute in integers ({node}: {reason}); leave it as it is"
