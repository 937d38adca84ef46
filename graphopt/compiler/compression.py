"""What making weights sparse and making them share values have in common: what goes before, and what comes after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import onnx_ir as ir

from graphopt.calibration.collect import collect
from graphopt.calibration.gram import Gram
from graphopt.calibration.preprocessing import Preprocessing, take_preprocessing
from graphopt.calibration.source import Data, open_samples
from graphopt.calibration.split import Split, split
from graphopt.compiler.optimize import optimize
from graphopt.compiler.steps import Steps
from graphopt.distillation.constraints import Constraint
from graphopt.distillation.distill import distill
from graphopt.distillation.recipe import Recipe
from graphopt.errors import ModelError
from graphopt.inspect.fidelity import Fidelity, compare
from graphopt.ir.edit import Names
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.tensors import slots
from graphopt.ir.verify import verify
from graphopt.quantization.mean_shift import shift_mean, takes_mean
from graphopt.quantization.rows import Float64
from graphopt.quantization.weights import Weight, gram_of, grams_wanted, weights_of

_EXPANDS_FROM = 11
"""The opset from which compact weights can be written."""

GENTLE = Recipe(epochs=8, rate=0.001, weight_decay=0.0, loss="mse")
"""How a network is trained where nothing is said: it answers nearly as its teacher does, and larger steps undo that.

On CIFAR ResNet-20 at 2:4, least squares left the same class to 98.0 % of the held-out images, and a rate of 0.005 for
`kl` took that to 96.9 %. At 50 % of zeros, their error was 0.0647 by least squares, 0.0641 so, and 0.0650 for `kl`.
"""


class Storage(StrEnum):
    """How weights lie in the file.

    Members:
        COMPACT: in as few bytes as they can; operators make them whole when the model is loaded (`compact-weights`).
        DENSE: as they are, for tools that look for zeros themselves.

    """

    COMPACT = "compact"
    DENSE = "dense"


class Subject(NamedTuple):
    """A model whose weights are to change.

    Attributes:
        model: behind its pipeline, with shapes.
        weights: of it.
        data: if there are any.
        pipeline: as text.

    """

    model: ir.Model
    weights: list[Weight]
    data: Split | None
    pipeline: str


def prepare(
    model: Source,
    data: Data | None,
    preprocessing: str | Preprocessing | None,
    limit: int | None,
    pipeline: str,
    steps: Steps,
) -> Subject:
    """Load a model, run a pipeline of passes, and open its data.

    Raises:
        ModelError: the model is broken, or no layer has a weight.
        CalibrationError: the data or the preprocessing.
        PipelineError, PassFailureError: the pipeline.

    """
    loaded = load(model)
    given = take_preprocessing(loaded, preprocessing)
    old = loaded.opset_imports.get("", _EXPANDS_FROM) < _EXPANDS_FROM
    text = ",".join(filter(None, ("convert-opset{version=13}" if old else "", pipeline)))
    with steps.step("optimize"):
        optimized, _ = optimize(loaded, text)
        infer_shapes(optimized)  # whatever the pipeline: what has no type is left alone
    weights = weights_of(optimized)
    if not weights:
        raise ModelError(
            f"model {optimized.graph.name!r} has no Conv, ConvTranspose, Gemm or MatMul with a constant weight of its "
            "own; leave it as it is"
        )
    parts = None if data is None else split(open_samples(data, optimized, given), limit=limit)
    return Subject(optimized, weights, parts, text)


def observe(subject: Subject, threads: int, steps: Steps) -> Mapping[str, Gram]:
    """Return what the layers multiply their weights with, by the layers' first outputs; nothing without data."""
    if subject.data is None:
        return {}
    with steps.step("calibrate", subject.data.fitted.count) as done:
        wanted = grams_wanted(subject.weights)
        return collect(subject.model, subject.data.fitted, (), wanted, threads=threads, progress=done).grams


def spread_of(weight: Weight, grams: Mapping[str, Gram]) -> Float64 | None:
    """Return the moments of what a weight is multiplied with, about the mean where biases take that up."""
    gram = gram_of(weight, grams)
    if gram is None or not gram.count:
        return None
    channels = weight.rows[..., 0].size
    return gram.spread(about_mean=all(takes_mean(node, channels) for node in weight.nodes))


def with_rows(model: ir.Model, rows: Mapping[str, Float64], grams: Mapping[str, Gram]) -> ir.Model:
    """Return a copy with other weights, by name; biases take up what outputs lose on average, where that is known."""
    changed = model.clone()
    names = Names(changed)
    for weight in weights_of(changed):
        if weight.name not in rows:
            continue
        before = weight.rows
        weight.put(rows[weight.name])
        lost, channels = before - weight.rows, before[..., 0].size
        for node in weight.nodes:
            gram = grams.get(str(node.outputs[0].name))
            if gram is not None and gram.count and takes_mean(node, channels) and lost.any():
                shift_mean(node, (lost @ gram.mean[:, :, None]).ravel(), names)
    return changed


@dataclass(frozen=True)
class Finisher:
    """Trains, stores and compares a model whose weights have changed.

    Attributes:
        subject: what it was made from.
        threads: of onnxruntime and PyTorch; 0 means as many as this process may run on.
        steps: told of each.

    """

    subject: Subject
    threads: int
    steps: Steps

    def distill(
        self, changed: ir.Model, recipe: Recipe, constraints: Mapping[str, Constraint], data: Split
    ) -> ir.Model:
        """Return the changed model, trained to answer as the one before; constraints hold."""
        with self.steps.step("distill"):
            return distill(
                self.subject.model,
                changed,
                data.fitted,
                recipe,
                constraints=constraints,
                threads=self.threads,
                on_progress=lambda what, done, total: self.steps.on_progress(f"distill, {what}", done, total),
            ).model

    def compare(self, changed: ir.Model) -> Fidelity | None:
        """Compare the answers to samples that nothing was fitted to; None where there are no data."""
        data = self.subject.data
        if data is None:
            return None
        with self.steps.step("compare", data.held_out.count) as done:
            return compare(self.subject.model, changed, data.held_out, threads=self.threads, on_samples=done)

    def store(self, changed: ir.Model, storage: Storage) -> ir.Model:
        """Return the model as its file is to hold it, verified."""
        with self.steps.step("store"):
            stored = optimize(changed, "compact-weights").model if storage is Storage.COMPACT else changed
            verify(stored)
        return stored


def constant_bytes(model: ir.Model) -> int:
    """Return how many bytes all constants of a model take."""
    return sum(slot.tensor.nbytes for slot in slots(model))
