"""Channels by what they carry: how often that is not zero, and how much their consumers make of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from graphopt.calibration.batch import Batch
from graphopt.calibration.probe import Probe
from graphopt.coupling.groups import Coupling, Group, Place
from graphopt.pruning.importance.evidence import Evidence
from graphopt.pruning.importance.shares import place_read, shares
from graphopt.quantization.rows import Float64
from graphopt.tensors import Array


def activation(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:
    """Return the share of elements that are not zero where consumers read them; 0 for a channel that is dead.

    It is one less the average percentage of zeros (H. Hu et al.: Network trimming, 2016), and tells channels apart
    where a Relu has made zeros.
    """
    activities = _observe(model, coupling, evidence, "activation")
    found = {}
    for group in coupling.groups:
        places = _read_places(group)
        found[group.name] = np.array(
            [
                np.mean([activities[place].nonzero[channel.places[place]].mean() for place in places] or [1.0])
                for channel in group.channels
            ]
        )
    return found


def activation_weight(model: ir.Model, coupling: Coupling, evidence: Evidence) -> dict[str, Float64]:
    """Return Σ|w|·√E[x²] over the columns that consumers multiply a channel with.

    This is the measure of M. Sun et al. (A simple and effective pruning approach for large language models, 2024),
    summed over what leaves together.
    """
    activities = _observe(model, coupling, evidence, "activation-weight")
    found = {group.name: np.zeros(len(group.channels)) for group in coupling.groups}
    for group in coupling.groups:
        for node in group.consumers:
            place = place_read(node, group)
            if place is None:
                continue
            for share in shares(node, group):
                sizes = np.split(np.sqrt(activities[place].square), share.groups)[share.index]
                columns = np.repeat(sizes, share.weight.shape[1] // len(sizes))
                found[group.name][share.members] += (np.abs(share.weight).sum(axis=0) * columns)[share.columns].sum(1)
    return found


class _Activity:
    """What the indices of an axis of a value carry, over all samples."""

    def __init__(self) -> None:
        self._count = 0
        self._nonzero: Float64 = np.zeros(1)
        self._square: Float64 = np.zeros(1)

    def add(self, values: Array, axis: int) -> None:
        """Take in a value of one batch."""
        rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        self._count += rows.shape[1]
        self._nonzero = self._nonzero + np.count_nonzero(rows, axis=1)
        self._square = self._square + np.square(rows, dtype=np.float64).sum(axis=1)

    @property
    def nonzero(self) -> Float64:
        """The share of elements that are not zero, by index."""
        return self._nonzero / max(self._count, 1)

    @property
    def square(self) -> Float64:
        """The mean square, by index."""
        return self._square / max(self._count, 1)


def _observe(model: ir.Model, coupling: Coupling, evidence: Evidence, criterion: str) -> Mapping[Place, _Activity]:
    places = {place for group in coupling.groups for place in _read_places(group)}
    activities = {place: _Activity() for place in places}
    probe = Probe(model, {name for name, _ in places}, evidence.threads)
    done = 0
    for feeds in evidence.require_samples(criterion):
        batch = Batch.of(feeds, done)
        for name, values in probe.run(batch):
            for place in places:
                if place[0] == name:
                    activities[place].add(values, place[1])
        done += len(batch.names)
    return activities


def _read_places(group: Group) -> list[Place]:
    """Return where the consumers of a group read its channels."""
    places = (place_read(node, group) for node in group.consumers)
    return list(dict.fromkeys(place for place in places if place is not None))
