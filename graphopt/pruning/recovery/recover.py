"""Refitting the layers of a changed network, one after the other, to what the original computed.

Each layer takes the inputs that it has now, with all layers before it refitted, and the targets that the original made
of its own: what went wrong before is made good, not only what was left out here (Y. He et al.: Channel pruning for
accelerating very deep neural networks, 2017; J.-H. Luo et al.: ThiNet, 2017). The last layer of a residual branch is
fitted to the sum, so that it makes up for the stream as well. No labels and no gradients are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.coupling.groups import Coupling, IntArray, Place, Removal
from graphopt.errors import CalibrationError, ModelError
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.walk import label
from graphopt.pruning.recovery.equations import Equations, multiply_with, total
from graphopt.pruning.recovery.layers import Layer, in_order
from graphopt.pruning.recovery.least_squares import Fit, best_ridge, error, fit, variance
from graphopt.pruning.recovery.normalization import identity, is_normalization, moved, set_statistics
from graphopt.pruning.recovery.observe import observe
from graphopt.pruning.recovery.parameters import moves_bias, parameters_of, set_parameters
from graphopt.pruning.recovery.walk import Walk
from graphopt.tensors import Feeds

_NOTHING = 1e-6  # of the variance: what rounding of products to float32 alone may make

Progress = Callable[[int, int], None]
"""Told how many layers are done, and of how many."""


@dataclass(frozen=True)
class Refit:
    """What refitting did to a layer.

    Attributes:
        layer: the name of its output.
        ridge: how dear it was to move away from the weight; infinite where the bias alone moved, or nothing.
        before, after: the mean square that what it makes is off its target, as a share of the target's variance, with
            all layers before it refitted; NaN where its inputs are too many to know.

    """

    layer: str
    ridge: float
    before: float
    after: float


def recover(
    original: ir.Model,
    pruned: ir.Model,
    coupling: Coupling,
    removal: Removal,
    samples: Iterable[Feeds],
    *,
    ridge: float | None = None,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> list[Refit]:
    """Refit the layers of a pruned model in place; return what that did, layer by layer.

    Args:
        original: the model before, with all channels.
        pruned: the model after (`graphopt.coupling.shrink`).
        coupling, removal: what of the original, and which channels of it left.
        samples, ridge, threads, on_progress: as for `refit`.

    Raises:
        CalibrationError, ModelError: as for `refit`.

    """
    kept = kept_indices(original, coupling, removal)
    return refit(original, pruned, samples, kept=kept, ridge=ridge, threads=threads, on_progress=on_progress)


def refit(
    original: ir.Model,
    changed: ir.Model,
    samples: Iterable[Feeds],
    *,
    kept: Mapping[Place, IntArray] | None = None,
    keep_zeros: bool = False,
    ridge: float | None = None,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> list[Refit]:
    """Refit each layer of a changed model in place, whose output has the name of one of the original's.

    Layers get new weights and biases, normalizations that are left new statistics. What lies before the first change
    stays bit by bit, and so do layers whose weight others read.

    Args:
        original: what the targets come from.
        changed: a model with the same inputs: pruned, sparse, factorized, or clipped.
        samples: feeds without labels that can be gone through again; of all kinds that the model will see, since the
            first of a data set that is sorted by class mislead.
        kept: where an axis of a value is shorter in the changed model: the indices that it still has.
        keep_zeros: whether what is zero in a weight stays zero.
        ridge: how dear it is to move away from a weight, as a share of the mean squares of what it multiplies; None
            finds it for each layer by what is best on held-out samples.
        threads: of onnxruntime; 0 means as many as this process may run on.
        on_progress: told how many layers are done.

    Raises:
        CalibrationError: there are no samples, the model does not run on one, a value is not finite, or the equations
            are singular without a ridge.
        ModelError: a layer has other outputs than its target has.

    """
    infer_shapes(changed)
    steps = in_order(original, changed, kept or {})
    count = sum(map(len, steps))
    teacher = Walk(original, [{layer.target for layer in step} for step in steps], samples, threads)
    student = Walk(changed, [set().union(*(layer.reads for layer in step)) for step in steps], samples, threads)
    multiply = multiply_with(threads)
    found: list[Refit] = []
    for step in steps:
        for layer, parts in observe(step, teacher, student, multiply).items():
            found.append(_refit(changed, layer, parts, ridge, keep_zeros=keep_zeros))
            if on_progress is not None:
                on_progress(len(found), count)
    return found


def kept_indices(original: ir.Model, coupling: Coupling, removal: Removal) -> dict[Place, IntArray]:
    """Return which indices are left along the axes of values that lose channels."""
    values = {str(value.name): value for node in original.graph for value in node.outputs}
    kept: dict[Place, IntArray] = {}
    for group in coupling.groups:
        leaving = [group.channels[number] for number in removal.get(group.name, ())]
        for place in leaving[0].places if leaving else ():
            value = values.get(place[0])
            size = None if value is None or value.shape is None else value.shape[place[1]]
            if isinstance(size, int):
                gone = np.concatenate([channel.places[place] for channel in leaving])
                kept[place] = np.setdiff1d(kept.get(place, np.arange(size)), gone)
    return kept


def _refit(
    changed: ir.Model, layer: Layer, parts: Sequence[Equations], ridge: float | None, *, keep_zeros: bool
) -> Refit:
    """Fit one layer, unless it makes what it shall make already."""
    node, whole = layer.node, total(parts)
    is_layer = not is_normalization(node)
    start = parameters_of(node) if is_layer else identity(whole)
    if whole.y.shape != start.bias.shape:
        raise ModelError(
            f"node {label(node)} makes {start.bias.size} channels, and the original {whole.y.size}; say which of them "
            "are kept"
        )
    scale = variance(whole) or 1.0
    before = error(whole, start) / scale
    if before < _NOTHING:
        return Refit(layer.name, np.inf, before, before)
    if is_layer:
        chosen, found = _fitted(node, start, parts, ridge, keep_zeros=keep_zeros)
        set_parameters(changed, node, found)
    else:
        chosen, found = np.inf, moved(whole)
        set_statistics(changed, node, found)
    return Refit(layer.name, chosen, before, error(whole, found) / scale)


def _fitted(
    node: ir.Node, start: Fit, parts: Sequence[Equations], ridge: float | None, *, keep_zeros: bool
) -> tuple[float, Fit]:
    """Return the ridge, and the weight and the bias that it leads to."""
    support = start.weight != 0 if keep_zeros else None
    biased = moves_bias(node)
    try:
        chosen = best_ridge(parts, start, moves_bias=biased, support=support) if ridge is None else ridge
        return chosen, fit(total(parts), start, chosen, moves_bias=biased, support=support)
    except np.linalg.LinAlgError:
        raise CalibrationError(
            f"the equations of node {label(node)} are singular; give more samples than columns, or a ridge"
        ) from None
