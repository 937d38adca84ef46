"""Which values of a network another one of the same shape could stand in for.

A residual block x + f(x) becomes x, or f(x) where a projection goes beside it (G. Huang et al.: Deep networks with
stochastic depth, 2016, found that such blocks can be missed; A. Veit et al.: Residual networks behave like ensembles of
relatively shallow networks, 2016, that they can be taken out). A gated block x · g(x) becomes x, and a layer that keeps
the shape what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx_ir as ir

from graphopt.ir.constants import is_constant
from graphopt.ir.dead import is_unread
from graphopt.ir.traits import is_standard
from graphopt.pruning.blocks.bypass import Bypass, remove

Cost = Callable[[ir.Model], int]
"""What a model costs."""


def find(model: ir.Model, cost: Cost) -> Iterator[Bypass]:
    """Yield what could be left out of a model and would make it cheaper."""
    whole = cost(model)
    for bypass in _alike(model):
        shorter = model.clone()
        remove(shorter, [bypass])
        if cost(shorter) < whole:
            yield bypass


def _alike(model: ir.Model) -> Iterator[Bypass]:
    """Yield the outputs of nodes with an input of the same type and shape; answers themselves stay."""
    for node in model.graph:
        output = node.outputs[0] if node.outputs else None
        if output is None or output.is_graph_output() or not is_standard(node):
            continue
        if all(map(is_unread, node.outputs[1:])):
            sources = {str(value.name): value for value in node.inputs if value is not None and not is_constant(value)}
            yield from (Bypass(str(output.name), name) for name, value in sources.items() if are_alike(value, output))


def are_alike(source: ir.Value, output: ir.Value) -> bool:
    """Whether two values are known to have the same type and shape, of numbers and of names that stand for the same."""
    if source.dtype is None or source.shape is None or None in map(_size, source.shape):
        return False
    return source.dtype == output.dtype and source.shape == output.shape


def _size(dim: int | ir.SymbolicDim) -> int | str | None:
    return dim if isinstance(dim, int) else dim.value
