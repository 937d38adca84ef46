"""`graphopt.share`: a model whose weights have few different values, from data without labels, or from none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.calibration.gram import Gram
from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.source import Data
from graphopt.compiler.compression import Compression, Storage, open_compression, spread_of, with_rows
from graphopt.compiler.recovery import Recovery, chosen, recovery_of
from graphopt.compiler.sharing_report import SharedLayer, SharingReport
from graphopt.compiler.steps import Progress
from graphopt.distillation.constraints import Codebook
from graphopt.errors import CalibrationError
from graphopt.ir.load import Source
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.quantization.rows import Float64
from graphopt.quantization.weights import Weight, weights_of
from graphopt.sharing.codebook import LARGEST_BOOK, is_shared, share_rows
from graphopt.sharing.indices import shared_indices


class Per(StrEnum):
    """Which weights share their values: those of a whole tensor, or those of an output channel."""

    TENSOR = "tensor"
    ROW = "row"


class Shared(NamedTuple):
    """A model with shared weights and the report of how it became one."""

    model: ir.Model
    report: SharingReport


def share(  # noqa: PLR0913  # a keyword each that a user may say something by
    model: Source,
    data: Data | None = None,
    *,
    values: int = 16,
    per: str | Per = Per.TENSOR,
    recover: str | Recovery = Recovery.NONE,
    recipe: str | None = None,
    storage: str | Storage = Storage.COMPACT,
    preprocessing: str | Preprocessing | None = None,
    limit: int | None = None,
    pipeline: str = DEFAULT_PRESET,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Shared:
    """Give the weights of Conv, ConvTranspose, Gemm and MatMul few values; what is given stays untouched.

    With data, the values and which weight takes which are those that the layers' outputs miss least
    (`graphopt.sharing.codebook`); without, those nearest to the weights. Zeros of a sparse weight stay, and are none of
    the values. The file gets smaller, and no run faster.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model.
        data: without labels (`graphopt.calibration.source.open_samples`).
        values: how many different ones, 2 to 256; 16 take half a byte a weight.
        per: `tensor` or `row`, whose values are its own.
        recover: `none`, or `distill`: training of the values, with the model as the teacher (needs the extra
            `distill`).
        recipe: of training, as text (`graphopt.distillation.recipe`); by default one of small steps.
        storage: `compact`: a weight is its number in the file, and operators look its value up when it is loaded; or
            `dense`.
        preprocessing: of pictures, as text or parsed; the model keeps it. By default what the model keeps already.
        limit: how many samples to take at most, the first ones.
        pipeline: a preset or the text of a pipeline of passes, run before.
        threads: of onnxruntime and PyTorch; 0 means as many as this process may run on.
        on_progress: told of each step how far it is.

    Raises:
        ModelError: the model is broken, or no layer has a weight.
        CalibrationError: the data, the preprocessing, how many values, or what needs data and has none.
        TrainingError, TargetError: the recipe, or PyTorch is missing.
        PipelineError, PassFailureError: the pipeline.

    """
    if not 1 < values <= LARGEST_BOOK:
        raise CalibrationError(f"values={values} must be from 2 to {LARGEST_BOOK}, what a byte can number")
    recovery = recovery_of(recover, has_data=data is not None)
    if recovery is Recovery.LEAST_SQUARES:
        raise CalibrationError("values are fitted in the least squares anyway; recover none, or distill")
    which = chosen(Per, per, "kind of sharing")
    job = open_compression(
        model,
        data,
        recovery=recovery,
        recipe=recipe,
        storage=storage,
        preprocessing=preprocessing,
        limit=limit,
        pipeline=pipeline,
        threads=threads,
        on_progress=on_progress,
    )
    return _Sharing(job, values, which).run()


@dataclass(frozen=True)
class _Sharing:
    """The steps of the job."""

    job: Compression
    values: int
    per: Per

    def run(self) -> Shared:
        grams = self.job.grams()
        shared = with_rows(self.job.model, self._rows(grams), grams)
        recovered = self._recovered(shared)
        stored = self.job.store(recovered or shared)
        return Shared(stored, self._report(shared, recovered, stored))

    @property
    def _by_row(self) -> bool:
        return self.per is Per.ROW

    def _rows(self, grams: Mapping[str, Gram]) -> dict[str, Float64]:
        """Return new rows of the weights that have too many values, and are large enough to gain by fewer."""
        found: dict[str, Float64] = {}
        with self.job.steps.step("share weights", len(self.job.weights)) as done:
            for count, weight in enumerate(self.job.weights, start=1):
                rows = weight.rows
                if self._gains(weight, rows) and not is_shared(rows, self.values, by_row=self._by_row):
                    moment = spread_of(weight, grams)
                    found[weight.name] = share_rows(rows, self.values, moment, by_row=self._by_row)
                done(count)
        return found

    def _gains(self, weight: Weight, rows: Float64) -> bool:
        """Whether values and their numbers, of a byte at most, take less than the weight does."""
        books = rows[..., 0].size if self._by_row else 1
        width = weight.array.itemsize
        return books * self.values * width + rows.size < rows.size * width

    def _recovered(self, shared: ir.Model) -> ir.Model | None:
        if self.job.data is None or self.job.recovery is Recovery.NONE:
            return None
        books = {
            weight.name: Codebook(shared_indices(weight, by_row=self._by_row))
            for weight in weights_of(shared)
            if is_shared(weight.rows, self.values, by_row=self._by_row)
        }
        return self.job.distill(shared, books, self.job.data)

    def _report(self, shared: ir.Model, recovered: ir.Model | None, stored: ir.Model) -> SharingReport:
        result = weights_of(recovered or shared)
        return SharingReport(
            values=self.values,
            per=str(self.per),
            layers=tuple(SharedLayer(one.name, one.array.size, np.unique(one.array).size) for one in result),
            shared=self.job.compare(shared),
            **self.job.outcome(recovered, stored),
        )
