"""Shape and Size: a size that is read off a tensor must stay as it is, for what follows from it is not known."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from graphopt.coupling.site import Site
from graphopt.ir.constants import constant
from graphopt.ir.walk import is_op

READS = "reads how long it is"


def shape(site: Site) -> None:
    """Freeze the axes that matter to a reader of the sizes (ONNX operator spec, Shape-15)."""
    attributes = site.node.attributes
    axes = range(site.data.rank)[attributes.get_int("start", 0) : attributes.get_int("end", site.data.rank)]
    for axis in _asked(site.node.outputs[0], axes):
        site.freeze(site.data, axis, READS)
    site.freeze(site.result, 0, "makes it of sizes")


def size(site: Site) -> None:
    """Freeze all axes (ONNX operator spec, Size-13)."""
    site.freeze_all(READS)


def _asked(sizes: ir.Value, axes: Sequence[int]) -> set[int]:
    """Return which of the axes matter: all, unless every reader gathers some of them alone."""
    chosen = [constant(node.inputs[1]) if is_op(node, "Gather") else None for node, _ in sizes.uses()]
    if sizes.is_graph_output() or any(numbers is None for numbers in chosen):
        return set(axes)
    return {axes[int(number)] for numbers in chosen if numbers is not None for number in numbers.ravel()}
