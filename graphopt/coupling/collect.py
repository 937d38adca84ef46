"""From classes of positions to channels, and from channels that are alike to groups."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.coupling.groups import Channel, Coupling, Group, IntArray, Place
from graphopt.coupling.positions import NO_REASON, Positions
from graphopt.coupling.site import Findings, Weight
from graphopt.ir.walk import is_op

Member = tuple[int, IntArray]
"""The number of an axis, and the indices along it."""


def collect(graph: ir.Graph, findings: Findings) -> Coupling:
    """Return what the findings amount to: classes that touch a computed value and of which nothing has to stay."""
    positions = findings.positions
    _keep_something(positions)
    carried = _carried(positions, (*graph.inputs, *_made(graph)))
    kept = positions.kept()
    free, stays = carried & (kept == NO_REASON), carried & (kept != NO_REASON)
    groups = _groups(_channels(positions, free), findings, {str(value.name) for value in _made(graph)})
    frozen = {
        place: positions.reason(kept[numbers][stays[numbers]].min())
        for place, numbers in positions.axes()
        if stays[numbers].any()
    }
    return Coupling(groups, frozen, tuple(findings.sums))


def _made(graph: ir.Graph) -> Iterator[ir.Value]:
    return (value for node in graph if not is_op(node, "Constant") for value in node.outputs if value.name)


def _keep_something(positions: Positions) -> None:
    """Let classes stay without which nothing would be left of an axis."""
    classes = positions.classes()
    for (name, axis), numbers in tuple(positions.axes()):
        roots = classes[numbers]
        if roots.size and (roots == roots[0]).all():
            positions.freeze(numbers[:1], f"nothing would be left of axis {axis} of {name!r}")


def _carried(positions: Positions, values: Iterable[ir.Value]) -> npt.NDArray[np.bool_]:
    """Return which positions are of classes that any of the values is in."""
    names = {value.name for value in values}
    classes = positions.classes()
    carried = np.zeros(len(positions), np.bool_)
    for (name, _), numbers in positions.axes():
        if name in names:
            carried[classes[numbers]] = True
    return carried[classes]


def _channels(positions: Positions, free: npt.NDArray[np.bool_]) -> Iterator[list[Member]]:
    """Yield the free classes, each as its indices along each axis."""
    sizes = [numbers.size for _, numbers in positions.axes()]
    axes = np.repeat(np.arange(len(sizes)), sizes)
    firsts = np.cumsum([0, *sizes])
    numbers = np.flatnonzero(free)
    roots = positions.classes()[numbers]
    order = np.argsort(roots, kind="stable")
    numbers, roots = numbers[order], roots[order]
    along = axes[numbers]
    indices = numbers - firsts[along]
    starts = np.flatnonzero(np.diff(roots, prepend=-1) | np.diff(along, prepend=-1))
    pieces = [indices[start:stop] for start, stop in itertools.pairwise([*starts.tolist(), indices.size])]
    members = zip(roots[starts].tolist(), along[starts].tolist(), pieces, strict=True)
    for _, channel in itertools.groupby(members, key=lambda member: member[0]):
        yield [(axis, piece) for _, axis, piece in channel]


def _groups(channels: Iterable[list[Member]], findings: Findings, made: set[str]) -> tuple[Group, ...]:
    places = [place for place, _ in findings.positions.axes()]
    alike: dict[tuple[tuple[int, int], ...], list[list[Member]]] = defaultdict(list)
    for channel in channels:
        alike[tuple((axis, piece.size) for axis, piece in channel)].append(channel)
    found = []
    for kind, members in alike.items():
        at = next(number for number, (axis, _) in enumerate(kind) if places[axis][0] in made)
        members.sort(key=lambda channel: int(channel[at][1][0]))
        found.append((kind[at][0], int(members[0][at][1][0]), members))
    names: Counter[str] = Counter()
    weights: dict[Place, list[Weight]] = defaultdict(list)
    for weight in findings.weights:
        weights[weight.place].append(weight)
    groups = []
    for first, _, members in sorted(found, key=lambda group: group[:2]):
        name = places[first][0]
        number, names[name] = names[name], names[name] + 1
        groups.append(_group(f"{name}#{number}" if number else name, members, places, weights))
    return tuple(groups)


def _group(
    name: str, members: Sequence[Sequence[Member]], places: Sequence[Place], weights: Mapping[Place, Sequence[Weight]]
) -> Group:
    channels = tuple(Channel({places[axis]: piece for axis, piece in channel}) for channel in members)
    touched = [weight for place in channels[0].places for weight in weights.get(place, ())]
    producers = dict.fromkeys(weight.node for weight in touched if weight.makes)
    consumers = dict.fromkeys(weight.node for weight in touched if not weight.makes)
    return Group(name, channels, tuple(producers), tuple(consumers))
