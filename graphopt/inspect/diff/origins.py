"""Where values come from, seen through the nodes that one model alone has."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping

import onnx_ir as ir

from graphopt.inspect.diff.scope import reads
from graphopt.ir.constants import is_constant

_MOST = 64
"""Origins of a value; one with more hangs on much of the graph, and so do its like."""

Origins = ChainMap[ir.Value, frozenset[ir.Value] | None]


def origins(nodes: Iterable[ir.Node], images: Mapping[ir.Value, ir.Value] | None, around: Origins) -> Origins:
    """Return which matched values the outputs of unmatched nodes hang on; None where they are many.

    Args:
        nodes: unmatched, in topological order.
        images: of matched values on the other side, in whose terms the answer is; None leaves them as they are.
        around: origins of values in the scopes around this one, which join the answer.

    """
    found = around.new_child()
    for node in nodes:
        read = [origin_of(value, found, images) for _, value in reads(node)]
        known = [values for values in read if values is not None]
        union: frozenset[ir.Value] = frozenset().union(*known)
        many = len(known) < len(read) or len(union) > _MOST
        for value in node.outputs:
            found[value] = None if many else union
    return found


def origin_of(
    value: ir.Value, known: Origins, images: Mapping[ir.Value, ir.Value] | None
) -> frozenset[ir.Value] | None:
    """Return the origins of one value, itself where its node is matched; constants have none."""
    if value in known:
        return known[value]
    if is_constant(value):
        return frozenset()
    return frozenset({value if images is None else images.get(value, value)})
