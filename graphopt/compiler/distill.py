"""`graphopt.distill`: a model that learns to answer as another does, from data without labels."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.calibration.batch import Batch
from graphopt.calibration.drawn import draw
from graphopt.calibration.preprocessing import Preprocessing, take_preprocessing
from graphopt.calibration.source import Data, Samples, open_samples
from graphopt.compiler.optimize import optimize
from graphopt.compiler.reshape import rebatch
from graphopt.distillation.checkpoint_file import CheckpointFile
from graphopt.distillation.constraints import Constraint
from graphopt.distillation.distill import Progress
from graphopt.distillation.distill import distill as train
from graphopt.distillation.engine import check_installed
from graphopt.distillation.held_out import held_out_numbers
from graphopt.distillation.history import History
from graphopt.distillation.recipe import NAME, Recipe, parse_recipe
from graphopt.inspect.fidelity import Fidelity, compare
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.tensors import Array, Feeds

METADATA_KEY = "graphopt.distillation"
"""Where a trained model says by which recipe it was."""

JUDGED = 256
"""How many samples the answers are compared on where none are held out, drawn from all of them."""


@dataclass(frozen=True)
class DistillationReport:
    """What training did and gained.

    Attributes:
        pipeline: that both models went through before, as text.
        history: the training, epoch by epoch.
        before, after: the student's answers compared with the teacher's, on the samples that were held out, or on
            `JUDGED` of all where none were.
        seconds: all of it.

    """

    pipeline: str
    history: History
    before: Fidelity | None
    after: Fidelity | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


class Distilled(NamedTuple):
    """A trained model and the report of how it became one."""

    model: ir.Model
    report: DistillationReport


def distill(  # noqa: PLR0913  # all that can be asked of it
    teacher: Source,
    student: Source,
    data: Data,
    recipe: str | Recipe = NAME,
    *,
    labels: Sequence[int] | Array | None = None,
    constraints: Mapping[str, Constraint] | None = None,
    preprocessing: str | Preprocessing | None = None,
    limit: int | None = None,
    pipeline: str = DEFAULT_PRESET,
    checkpoint: CheckpointFile | None = None,
    threads: int = 0,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> Distilled:
    """Train a model to answer as another does; what is given stays untouched.

    Both go through a pipeline of passes; the student then executes in PyTorch, which needs the extra `distill`, and its
    weights change in their own types, integers between the scales that they have. What it takes and returns stays.

    Args:
        teacher: a path, serialized bytes, a ModelProto or an IR model, with the inputs and outputs of the student.
        student: the same; its weights are where the training starts.
        data: to learn from (`graphopt.calibration.source.open_samples`): a .npz, a .npy, a folder of pictures, or an
            iterable of feeds.
        recipe: how, as text (`graphopt.distillation.recipe`) or parsed.
        labels: the number of the class of each sample, if known; the recipe says how much they count.
        constraints: what is kept of initializers of the student, by their names behind the pipeline.
        preprocessing: of pictures, as text or parsed; the model keeps it. By default what the student keeps already.
        limit: how many samples to take at most, the first ones.
        pipeline: a preset or the text of a pipeline of passes, run before.
        checkpoint: where the training is kept, to be gone on with.
        threads: of PyTorch and onnxruntime; 0 means as many as this process may run on. With the same number, the same
            seed and the same machine the result is the same, bit by bit.
        workers: processes that train together, of one machine or of several: torchrun, which comes with PyTorch, starts
            a script that asks for as many as it starts. Each computes a part of every batch (`threads` for each), and
            all return the same model, that of one process but for rounding. What is not a sum over samples cannot be
            parted: features, answers that are no scores of classes, Dropout, statistics of the batch.
        on_progress: told of each step how far it is.

    Raises:
        TargetError: PyTorch is missing.
        ModelError: a model is broken, they do not fit together, or operators of the student have no gradient.
        CalibrationError: the data, the labels or the preprocessing.
        TrainingError: the recipe, the checkpoint, or a loss that is not finite.
        PipelineError, PassFailureError: the pipeline.
        OutputError: the checkpoint cannot be written.

    """
    check_installed()
    began = time.perf_counter()
    read = parse_recipe(recipe) if isinstance(recipe, str) else recipe
    report = on_progress or (lambda *_: None)
    report("optimizing", 0, None)
    master, learner = (_prepared(model, pipeline) for model in (teacher, student))
    given = take_preprocessing(learner, preprocessing)
    free_master, free_learner = _free_batch(master), _free_batch(learner)
    samples = open_samples(data, free_learner, given)
    if limit is not None:
        samples, labels = samples.part(0, limit), None if labels is None else labels[:limit]
    trained, history = train(
        free_master,
        free_learner,
        samples,
        read,
        constraints=constraints,
        labels=labels,
        checkpoint=checkpoint,
        threads=threads,
        workers=workers,
        on_progress=report,
    )
    result = _with_weights(learner, free_learner, trained)
    result.metadata_props[METADATA_KEY] = str(read)
    verify(result)
    report("comparing", 0, None)
    held = held_out_numbers(read, history.samples + history.held_out)
    judged = _Judged(samples, frozenset(held)) if held else draw(samples, JUDGED)
    before, after = (compare(free_master, model, judged, threads=threads) for model in (free_learner, trained))
    seconds = time.perf_counter() - began
    return Distilled(result, DistillationReport(pipeline, history, before, after, seconds))


def _prepared(model: Source, pipeline: str) -> ir.Model:
    optimized, _ = optimize(load(model), pipeline)
    infer_shapes(optimized)
    return optimized


def _free_batch(model: ir.Model) -> ir.Model:
    """Return the model for any number of samples: a step takes many; raises ModelError where it cannot be."""
    leading = [value.shape[0] for value in model.graph.inputs if value.shape]
    return rebatch(model) if any(isinstance(size, int) for size in leading) else model


def _with_weights(model: ir.Model, before: ir.Model, after: ir.Model) -> ir.Model:
    """Return a copy of a model with the initializers in which `after` differs from `before`."""
    result = model.clone()
    for name, value in after.graph.initializers.items():
        if value.const_value is not before.graph.initializers[name].const_value:
            result.graph.initializers[name].const_value = value.const_value
    return result


@dataclass(frozen=True)
class _Judged:
    """The samples with given numbers, in batches."""

    samples: Samples
    numbers: Collection[int]

    def __iter__(self) -> Iterator[Feeds]:
        first = 0
        for batch in self.samples:
            rows = [row for row in range(len(batch.names)) if first + row in self.numbers]
            first += len(batch.names)
            if rows:
                feeds = {name: np.ascontiguousarray(array[rows]) for name, array in batch.items()}
                yield Batch(feeds, tuple(batch.names[row] for row in rows))
