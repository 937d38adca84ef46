"""A profile layer by layer: what each node is, and how long it took.

The nodes that one kernel computes have one time. It stands at the one with the most arithmetic, as the convolution
of a convolution with its activation; the others have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.backends.partition import Executor
from graphopt.benchmark.profile import Kernel, Profile
from graphopt.inspect.layers import Layer, layer_of


@dataclass(frozen=True)
class TimedLayer:
    """A node of the model as it was compiled.

    Attributes:
        layer: what it computes and moves.
        kernel, executor: what computed it, and who ran that.
        seconds: of all that computed it and the nodes that share its time, None where these have the time.
        rate: billions of floating-point operations a second, of all of these together.
        share: of the time in all kernels.

    """

    layer: Layer
    kernel: str
    executor: Executor
    seconds: float | None = None
    rate: float | None = None
    share: float | None = None


def timed_layers(profile: Profile) -> Iterator[TimedLayer]:
    """Yield the layers in the order of a run."""
    for kernels in _groups(profile.kernels):
        seconds = sum(kernel.cost.seconds for kernel in kernels)
        flops = sum(kernel.cost.flops for kernel in kernels)
        nodes = list(dict.fromkeys(node for kernel in kernels for node in kernel.nodes))
        layers = [layer_of(node) for node in nodes]
        largest = max(range(len(layers)), key=lambda index: layers[index].flops or 0, default=0)
        name = " + ".join(dict.fromkeys(kernel.name for kernel in kernels))
        for index, layer in enumerate(layers):
            times = (seconds, flops / seconds / 1e9, seconds / profile.in_kernels) if index == largest else ()
            yield TimedLayer(layer, name, kernels[0].executor, *times)


def _groups(kernels: Sequence[Kernel]) -> Iterator[list[Kernel]]:
    """Put together the kernels one after the other that compute the same node in steps, or only prepare the next."""
    group: list[Kernel] = []
    seen: set[ir.Node] = set()
    for kernel in kernels:
        if seen and kernel.nodes and seen.isdisjoint(kernel.nodes):
            yield group
            group, seen = [], set()
        group.append(kernel)
        seen.update(kernel.nodes)
    if group:
        yield group
