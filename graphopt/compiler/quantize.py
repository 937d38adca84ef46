"""`graphopt.quantize`: a model in integers, from data without labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import onnx_ir as ir

from graphopt.calibration.collect import collect
from graphopt.calibration.preprocessing import Preprocessing, keep_preprocessing, parse_preprocessing
from graphopt.calibration.ranges import Range, RangeMethod, choose_range
from graphopt.calibration.source import Data, Samples, open_samples
from graphopt.calibration.statistics import Statistics
from graphopt.compiler.optimize import optimize
from graphopt.errors import CalibrationError, ModelError
from graphopt.inspect.fidelity import Fidelity, Judge, compare
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.tensors import slots
from graphopt.ir.verify import verify
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.quantization.affine import limits_of
from graphopt.quantization.contest import Ranges, best_ranges, trials
from graphopt.quantization.decide import decide
from graphopt.quantization.emit import emit
from graphopt.quantization.plan import Plan
from graphopt.quantization.refine import measurable, refine
from graphopt.quantization.scheme import Scheme, parse_scheme
from graphopt.quantization.selection import Selection, select
from graphopt.quantization.unsaturate import without_saturation

METADATA_KEY = "graphopt.quantization"
"""Where a quantized model says by which scheme it was."""

JUDGED = 256
"""How many samples the answers are compared on at most: the first ones."""

TRIED = 32
"""How many samples, the first ones, tell better ranges from worse."""

Progress = Callable[[str, int, int | None], None]
"""Told of each step how much of it is done, and how much there is where that is known."""


@dataclass(frozen=True)
class QuantizationReport:
    """What quantization did, cost and gained.

    Attributes:
        scheme: as text.
        method: how ranges were chosen.
        pipeline: that the model went through before, as text: the plan is for the model behind it.
        plan: the decisions.
        samples: how many were observed; 0 where only weights were quantized, to the nearest.
        integers: how many nodes compute in integers, or read weights of integers.
        floats: why each other node does not, by its label.
        fidelity: the answers compared with the model's, on the first `JUDGED` of the samples that were observed.
        bytes_before, bytes_after: of all constants.
        seconds: by step.

    """

    scheme: str
    method: str
    pipeline: str
    plan: Plan
    samples: int
    integers: int
    floats: Mapping[str, str]
    fidelity: Fidelity | None
    bytes_before: int
    bytes_after: int
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, without the plan."""
        plain = {name: value for name, value in vars(self).items() if name not in {"plan", "fidelity"}}
        return plain | {"fidelity": None if self.fidelity is None else asdict(self.fidelity)}


class Quantized(NamedTuple):
    """A quantized model and the report of how it became one."""

    model: ir.Model
    report: QuantizationReport


def quantize(
    model: Source,
    data: Data | None = None,
    target: str | Scheme = "x64",
    *,
    method: str | RangeMethod = RangeMethod.AUTO,
    preprocessing: str | Preprocessing | None = None,
    limit: int | None = None,
    pipeline: str = DEFAULT_PRESET,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Quantized:
    """Quantize a model after training; what is given stays untouched.

    The model goes through a pipeline of passes, runs on the data once to observe its values, and is written with
    QuantizeLinear and DequantizeLinear where the target takes them. Inputs and outputs stay as they are. With the
    method `auto`, ranges are those of the other methods that are best for the answers, and weights and biases are
    fitted to the data; the other methods choose ranges as `RangeMethod` says, and round weights to the nearest.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        data: to calibrate with (`graphopt.calibration.source.open_samples`): a .npz, a .npy, a folder of pictures, or
            an iterable of feeds. It can be left out where only weights are quantized.
        target: who is to take the model, a scheme (`graphopt.quantization.scheme`): `x64`, `tensorrt`, `graphopt`,
            `weights-int8`, `x64{weights=int16}`.
        method: `auto`, `minmax`, `percentile`, `entropy` or `mse`.
        preprocessing: of pictures, as text or parsed; the model keeps it. By default what the model keeps already.
        limit: how many samples to take at most, the first ones.
        pipeline: a preset or the text of a pipeline of passes, run before.
        threads: of onnxruntime; 0 means as many as this process may run on.
        on_progress: told of each step how far it is.

    Raises:
        ModelError: the model is broken, or nothing in it can compute in integers.
        CalibrationError: the data, the preprocessing or the method.
        TargetError: the scheme.
        PipelineError, PassFailureError: the pipeline.

    """
    work = _Work(
        scheme=target if isinstance(target, Scheme) else parse_scheme(target),
        method=_method(method),
        threads=threads,
        on_progress=on_progress or (lambda *_: None),
    )
    loaded = load(model)
    given = parse_preprocessing(preprocessing) if isinstance(preprocessing, str) else preprocessing
    if given is not None:
        keep_preprocessing(loaded, given)
    text = _with_opset(loaded, work.scheme, pipeline)
    with work.step("optimize"):
        optimized, _ = optimize(loaded, text)
        infer_shapes(optimized)  # whatever the pipeline: what has no type is left alone
    samples = None if data is None else open_samples(data, optimized, given)
    if samples is not None and limit is not None:
        samples = samples.part(0, limit)
    return work.run(optimized, samples, text)


@dataclass
class _Work:
    """One quantization, step by step."""

    scheme: Scheme
    method: RangeMethod
    threads: int
    on_progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, model: ir.Model, samples: Samples | None, pipeline: str) -> Quantized:
        selection = select(model, self.scheme)
        if not selection.products:
            raise ModelError(_why_nothing(model, selection))
        if samples is None and not self.scheme.weights_only:
            raise CalibrationError(f"scheme {self.scheme} quantizes activations: give data to calibrate with")
        statistics = self._observe(model, samples, selection)
        plan = self._decide(model, samples, selection, statistics)
        quantized = model.clone()
        with self.step("write"):
            emit(quantized, plan, self.scheme.form)
            quantized.metadata_props[METADATA_KEY] = str(self.scheme)
            verify(quantized)
        fidelity = None if samples is None else self._judge(model, quantized, samples)
        return Quantized(
            quantized,
            QuantizationReport(
                scheme=str(self.scheme),
                method=str(self.method),
                pipeline=pipeline,
                plan=plan,
                samples=statistics.samples,
                integers=len(selection.nodes),
                floats=selection.refusals,
                fidelity=fidelity,
                bytes_before=_bytes(model),
                bytes_after=_bytes(quantized),
                seconds=self.seconds,
            ),
        )

    @property
    def _refines(self) -> bool:
        return self.method is RangeMethod.AUTO

    def _observe(self, model: ir.Model, samples: Samples | None, selection: Selection) -> Statistics:
        if samples is None:
            return Statistics()
        with self.step("calibrate", samples.count) as done:
            return collect(
                model,
                samples,
                [str(value.name) for value in selection.sources],
                measurable(selection) if self._refines else (),
                threads=self.threads,
                progress=done,
            )

    def _decide(self, model: ir.Model, samples: Samples | None, selection: Selection, statistics: Statistics) -> Plan:
        """Decide all for one way to choose ranges, fit weights where that helps the answers, then try other ranges."""
        candidates = self._candidates(statistics)
        first = self._decided(model, selection, candidates[self._first])
        if samples is None or not self._refines:
            return first
        judge = Judge(model, samples.part(0, TRIED), threads=self.threads)
        fitted = self._fit(first, selection, statistics)
        plan = min((first, fitted), key=lambda one: self._error(model, one, judge))
        if not statistics.histograms:
            return plan
        best = self._decided(model, selection, self._try(model, judge, selection, candidates, plan))
        if best.weights == first.weights:
            return replace(plan, values=best.values)
        return best if plan is first else self._fit(best, selection, statistics)  # a bias had too little room

    def _decided(self, model: ir.Model, selection: Selection, ranges: Ranges) -> Plan:
        plan = decide(selection, ranges, self.scheme)
        return without_saturation(model, plan) if self.scheme.avoid_saturation else plan

    @property
    def _first(self) -> RangeMethod:
        return RangeMethod.MSE if self._refines else self.method

    def _error(self, model: ir.Model, plan: Plan, judge: Judge) -> float:
        quantized = model.clone()
        emit(quantized, plan, self.scheme.form)
        return judge.error(quantized)

    def _candidates(self, statistics: Statistics) -> dict[str, dict[str, Range]]:
        methods = [one for one in RangeMethod if one is not RangeMethod.AUTO] if self._refines else [self.method]
        candidates: dict[str, dict[str, Range]] = {method: {} for method in methods}
        with self.step("choose ranges", len(statistics.histograms)) as done:
            for count, (name, histogram) in enumerate(statistics.histograms.items(), start=1):
                for method in methods:
                    found = choose_range(histogram, method, self._levels, self.scheme.symmetric)
                    candidates[method][name] = found
                done(count)
        return candidates

    def _fit(self, plan: Plan, selection: Selection, statistics: Statistics) -> Plan:
        with self.step("fit weights", len(selection.products)) as done:
            return refine(plan, selection, statistics.grams, self.scheme, done)

    def _try(
        self, model: ir.Model, judge: Judge, selection: Selection, candidates: Mapping[str, Ranges], plan: Plan
    ) -> Ranges:
        """Return the best of several ways to choose ranges, as measured by the answers to a few samples."""
        tried = 0
        with self.step("try ranges", trials(len(candidates), len(selection.sources))) as done:

            def error(ranges: Ranges) -> float:
                nonlocal tried
                tried += 1
                done(tried)
                values = decide(selection, ranges, self.scheme).values
                return self._error(model, replace(plan, values=values), judge)

            return best_ranges(candidates, error, chance=1 / (2 * judge.samples))[0]

    @property
    def _levels(self) -> int:
        least, greatest = limits_of(self.scheme.activation_dtype)
        return greatest - least + 1

    def _judge(self, model: ir.Model, quantized: ir.Model, samples: Samples) -> Fidelity | None:
        judged = samples.part(0, JUDGED)
        with self.step("compare", judged.count) as done:
            return compare(model, quantized, judged, threads=self.threads, on_samples=done)

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Measure a step; the body gets the function that says how much of it is done."""
        self.on_progress(name, 0, total)
        start = time.perf_counter()
        yield lambda done: self.on_progress(name, done, total)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _method(method: str | RangeMethod) -> RangeMethod:
    try:
        return RangeMethod(method)
    except ValueError:
        raise CalibrationError(
            f"unknown method {method!r} to choose ranges; there are {', '.join(RangeMethod)}"
        ) from None


def _with_opset(model: ir.Model, scheme: Scheme, pipeline: str) -> str:
    """Return the pipeline, behind a conversion where the model's opset lacks what the scheme needs."""
    if model.opset_imports.get("", scheme.opset) >= scheme.opset:
        return pipeline
    return ",".join(filter(None, (f"convert-opset{{version={scheme.opset}}}", pipeline)))


def _why_nothing(model: ir.Model, selection: Selection) -> str:
    node, reason = next(iter(selection.refusals.items()), ("it", "it has no nodes"))
    return f"nothing in model {model.graph.name!r} can compute in integers ({node}: {reason}); leave it as it is"


def _bytes(model: ir.Model) -> int:
    return sum(slot.tensor.nbytes for slot in slots(model))
