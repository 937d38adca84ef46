"""`graphopt.sparsify`: a model many of whose weights are zero, from data without labels, or from none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.calibration.drawn import draw
from graphopt.calibration.gram import Gram
from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.source import Data
from graphopt.calibration.split import Split
from graphopt.compiler.compression import Compression, Storage, open_compression, spread_of, with_rows
from graphopt.compiler.recovery import Recovery, chosen, recovery_of
from graphopt.compiler.sparsity_report import SparseLayer, SparsityReport
from graphopt.compiler.steps import Progress
from graphopt.distillation.constraints import Mask
from graphopt.errors import CalibrationError
from graphopt.inspect.fidelity import Judge
from graphopt.ir.load import Source
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pruning.recovery.recover import refit
from graphopt.quantization.weights import Weight, weights_of
from graphopt.sparsity.allotment import Level, allot, levels, staying
from graphopt.sparsity.request import Request, request
from graphopt.sparsity.thinning import Method, Thin, at_random, by_elimination, by_magnitude

TRIED = 64
"""How many held-out samples tell which layers can spare weights, drawn from all of these."""

AUTO = "auto"


_Measure = Callable[[Mapping[str, list[int]]], dict[str, list[Level]]]
"""Takes counts of zeros to try, by layer; returns what each, alone, does to the answers."""


class Sparse(NamedTuple):
    """A sparse model and the report of how it became one."""

    model: ir.Model
    report: SparsityReport


def sparsify(  # noqa: PLR0913  # a keyword each that a user may say something by
    model: Source,
    data: Data | None = None,
    *,
    fraction: float | None = None,
    pattern: str | None = None,
    threshold: float | None = None,
    method: str = AUTO,
    recover: str | Recovery | None = None,
    recipe: str | None = None,
    storage: str | Storage = Storage.COMPACT,
    preprocessing: str | Preprocessing | None = None,
    limit: int | None = None,
    pipeline: str = DEFAULT_PRESET,
    seed: int = 0,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Sparse:
    """Set weights of Conv, ConvTranspose, Gemm and MatMul to zero; what is given stays untouched.

    With data, those weights go that the layers' outputs miss least, and the others make good for them; how many each
    layer loses is chosen by what that does to the answers to samples that nothing is fitted to. A pattern leaves those
    few layers whole that cost the answers most for what they weigh. The file gets smaller, and no run faster.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        data: without labels (`graphopt.calibration.source.open_samples`).
        fraction: the share of all weights that become zero; without data, of those of each layer.
        pattern: `2:4`: of four input channels side by side, two weights at most stay (any N:M).
        threshold: h, as in w·1(|w| > h).
        method: `obc` needs data, `magnitude` and `random` do not (`graphopt.sparsity.thinning.Method`); `auto` is `obc`
            with data and `magnitude` without, or where a threshold is said.
        recover: `none`; `least-squares`, layer by layer in closed form; or `distill`, that and then training, with the
            model as the teacher (needs the extra `distill`). Zeros stay. By default `least-squares` where there are
            data.
        recipe: of training, as text (`graphopt.distillation.recipe`); by default one of small steps.
        storage: `compact`: zeros take a bit in the file, and operators put them back when it is loaded; or `dense`.
        preprocessing: of pictures, as text or parsed; the model keeps it. By default what the model keeps already.
        limit: how many samples to take at most, the first ones.
        pipeline: a preset or the text of a pipeline of passes, run before.
        seed: of what is random.
        threads: of onnxruntime and PyTorch; 0 means as many as this process may run on.
        on_progress: told of each step how far it is.

    Raises:
        ModelError: the model is broken, or no layer has a weight.
        PipelineError: the pipeline, or how sparse the model shall be.
        CalibrationError: the data, the preprocessing, the method, or what needs data and has none.
        TrainingError, TargetError: the recipe, or PyTorch is missing.
        PassFailureError: a pass failed.

    """
    asked, how = request(fraction, pattern, threshold), _method(method, threshold, has_data=data is not None)
    job = open_compression(
        model,
        data,
        recovery=recovery_of(recover, has_data=data is not None),
        recipe=recipe,
        storage=storage,
        preprocessing=preprocessing,
        limit=limit,
        pipeline=pipeline,
        threads=threads,
        on_progress=on_progress,
    )
    return _Sparsifying(job, asked, how, seed).run()


@dataclass(frozen=True)
class _Sparsifying:
    """The steps of the job."""

    job: Compression
    request: Request
    method: Method
    seed: int

    def run(self) -> Sparse:
        grams = self.job.grams() if self.method is Method.OBC else {}
        thins = self._thins(grams)
        zeros = self._allot(thins, grams)
        rows = {name: thin(zeros[name]) for name, thin in thins.items() if zeros[name]}
        sparse = with_rows(self.job.model, rows, grams)
        recovered = self._recovered(sparse)
        stored = self.job.store(recovered or sparse)
        return Sparse(stored, self._report(sparse, recovered, stored))

    def _thins(self, grams: Mapping[str, Gram]) -> dict[str, Thin]:
        rng, thins = np.random.default_rng(self.seed), {}
        with self.job.steps.step("rank weights", len(self.job.weights)) as done:
            for count, weight in enumerate(self.job.weights, start=1):
                thins[weight.name] = self._thin(weight, grams, rng)
                done(count)
        return thins

    def _thin(self, weight: Weight, grams: Mapping[str, Gram], rng: np.random.Generator) -> Thin:
        rows, pattern, taps = weight.rows, self.request.pattern, weight.taps
        spread = spread_of(weight, grams)
        if spread is not None:
            return by_elimination(rows, spread, pattern, taps)
        return (
            at_random(rows, rng, pattern, taps) if self.method is Method.RANDOM else by_magnitude(rows, pattern, taps)
        )

    def _allot(self, thins: Mapping[str, Thin], grams: Mapping[str, Gram]) -> dict[str, int]:
        """Return how many weights of each layer go; of a layer with a pattern, 0 or all that it asks for."""
        arrays = {weight.name: weight.array for weight in self.job.weights}
        sizes = {name: array.size for name, array in arrays.items()}
        request = self.request
        counts = request.counts(arrays)
        if self.job.data is None or request.threshold is not None:
            return counts
        measure = self._measure(self.job.data, thins, grams)
        if request.fraction is None:
            curves = measure({name: [size] for name, size in sizes.items()})
            return counts | dict.fromkeys(staying({name: curve[0].error for name, curve in curves.items()}, sizes), 0)
        curves = measure({name: levels(size, request.fraction) for name, size in sizes.items()})
        return allot(curves, sum(counts.values()))

    def _measure(self, data: Split, thins: Mapping[str, Thin], grams: Mapping[str, Gram]) -> _Measure:
        judge = Judge(self.job.model, draw(data.held_out, TRIED, seed=self.seed), threads=self.job.threads)

        def measure(counts: Mapping[str, list[int]]) -> dict[str, list[Level]]:
            curves: dict[str, list[Level]] = {name: [] for name in counts}
            with self.job.steps.step("try layers", sum(map(len, counts.values()))) as done:
                for name, zeros in ((name, zeros) for name, several in counts.items() for zeros in several):
                    changed = with_rows(self.job.model, {name: thins[name](zeros)}, grams)
                    curves[name].append(Level(zeros, judge.error(changed) ** 2))
                    done(sum(map(len, curves.values())))
            return curves

        return measure

    def _recovered(self, sparse: ir.Model) -> ir.Model | None:
        job = self.job
        if job.data is None or job.recovery is Recovery.NONE:
            return None
        fitted = sparse.clone()
        with job.steps.step("fit layers"):
            refit(
                job.model,
                fitted,
                job.data.fitted,
                keep_zeros=True,
                threads=job.threads,
                on_progress=partial(job.steps.on_progress, "fit layers"),
            )
        if job.recovery is Recovery.LEAST_SQUARES:
            return fitted
        masks = {weight.name: Mask(weight.array != 0) for weight in weights_of(fitted)}
        return job.distill(fitted, masks, job.data)

    def _report(self, sparse: ir.Model, recovered: ir.Model | None, stored: ir.Model) -> SparsityReport:
        result = weights_of(recovered or sparse)
        return SparsityReport(
            request=str(self.request),
            method=str(self.method),
            layers=tuple(SparseLayer(one.name, one.array.size, int((one.array == 0).sum())) for one in result),
            sparse=self.job.compare(sparse),
            **self.job.outcome(recovered, stored),
        )


def _method(method: str, threshold: float | None, *, has_data: bool) -> Method:
    if method == AUTO:
        return Method.OBC if has_data and threshold is None else Method.MAGNITUDE
    found = chosen(Method, method, "method")
    if threshold is not None and found is not Method.MAGNITUDE:
        raise CalibrationError(
            f"a threshold goes by magnitude, not by the method {found.value!r}; say fraction instead"
        )
    if found is Method.OBC and not has_data:
        raise CalibrationError("method 'obc' chooses by what layers multiply: give data, or take magnitude")
    return found
