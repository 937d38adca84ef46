"""Channels by how far the answers move without them, one small set masked after the other.

Each is masked where consumers read it, by a factor of 0; the answers to a few samples are compared with the model's by
the divergence KL(p ‖ q) of their distributions over classes (J.-H. Luo, J. Wu: Neural network pruning with residual
connections and limited data, 2020), or by their relative square error where they are no scores of classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.calibration.drawn import draw
from graphopt.coupling.groups import Coupling, Group, IntArray, Place
from graphopt.errors import ModelError
from graphopt.ir.edit import Names
from graphopt.ir.walk import is_op
from graphopt.pruning.importance.evidence import Evidence
from graphopt.pruning.importance.magnitude import squared_weights
from graphopt.pruning.importance.shares import place_read
from graphopt.quantization.rows import Float64
from graphopt.tensors import Array, Feeds

SAMPLES = 16
"""How many samples are run."""

TRIALS = 1024
"""How many sets are masked, over all groups: each channel alone where they are as many, several alike ones together
where there are more."""

_LEAST = 1e-12  # a probability


def output_kl(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:
    """Return by channel the divergence of the answers without it; channels masked together have an equal part of it.

    Raises:
        ModelError: no output holds floating-point numbers.
        CalibrationError: there are no samples.

    """
    output = _scored(model)
    drawn = draw(evidence.require_samples("output-kl"), SAMPLES, seed=evidence.seed)
    batches = [batch.feeds for batch in drawn]
    session = reference_session(model, threads=evidence.threads, optimize=True)
    answers = [session.run(feeds)[str(output.name)] for feeds in batches]
    is_distribution = is_op(output.producer(), "Softmax")
    size = -(-sum(len(group.channels) for group in coupling.groups) // TRIALS)
    found = {}
    for group in coupling.groups:
        masked = _Masked(model, group, evidence.threads)
        scores = np.zeros(len(group.channels))
        order = np.argsort(squared_weights(model, group), kind="stable")
        for start in range(0, len(order), size):
            members = order[start : start + size]
            moved = [
                _divergence(answer, made, is_distribution=is_distribution)
                for answer, made in zip(answers, masked.answers(members, batches, str(output.name)), strict=True)
            ]
            scores[members] = np.mean(moved) / len(members)
        found[group.name] = scores
    return found


class _Masked:
    """A model where consumers of a group multiply what they read by factors, one an index, which are more inputs."""

    def __init__(self, model: ir.Model, group: Group, threads: int) -> None:
        changed = model.clone()
        self._group = group
        self._factors: dict[Place, ir.Value] = {}
        names = Names(changed)
        consumers = {str(node.outputs[0].name) for node in group.consumers}
        for node in [node for node in changed.graph if node.outputs and node.outputs[0].name in consumers]:
            place = place_read(node, group)
            if place is not None:
                self._insert(changed.graph, node, place, names)
        self._session = reference_session(changed, threads=threads, optimize=True)

    def answers(self, members: IntArray, batches: Sequence[Feeds], output: str) -> Iterator[Array]:
        """Yield the output of each batch without some channels."""
        factors = {}
        for place, value in self._factors.items():
            factor = np.ones(value.shape.numpy() if value.shape is not None else (), np.float32)
            for member in members:
                factor.reshape(-1)[self._group.channels[member].places[place]] = 0
            factors[str(value.name)] = factor
        for feeds in batches:
            yield self._session.run({**feeds, **factors})[output]

    def _insert(self, graph: ir.Graph, node: ir.Node, place: Place, names: Names) -> None:
        value, axis = node.inputs[0], place[1]
        if value is None or value.shape is None or not isinstance(size := value.shape[axis], int):
            return
        if place not in self._factors:
            shape = ir.Shape([size] + [1] * (len(value.shape) - axis - 1))
            self._factors[place] = ir.Value(name=names.fresh(f"{place[0]}_factor"), type=value.type, shape=shape)
            graph.inputs.append(self._factors[place])
        product = ir.Node("", "Mul", [value, self._factors[place]], num_outputs=1)
        product.outputs[0].name = names.fresh(f"{value.name}_masked")
        node.prepend(product)
        node.replace_input_with(0, product.outputs[0])


def _divergence(expected: Array, actual: Array, *, is_distribution: bool) -> float:
    right, made = expected.astype(np.float64), actual.astype(np.float64)
    if right.ndim != 2 or right.shape[1] < 2:
        return float(np.square(made - right).sum() / (np.square(right).sum() or 1.0))
    if not is_distribution:
        right, made = _softmax(right), _softmax(made)
    logs = np.log(np.maximum(right, _LEAST)) - np.log(np.maximum(made, _LEAST))
    return float((right * logs).sum(axis=1).mean())


def _softmax(scores: Float64) -> Float64:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _scored(model: ir.Model) -> ir.Value:
    for value in model.graph.outputs:
        if value.dtype is not None and value.dtype.is_floating_point():
            return value
    raise ModelError(f"no output of model {model.graph.name!r} holds real numbers; choose another criterion")
