"""Which nodes can be folded, and which of them are worth their bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor, is_constant
from graphopt.ir.dead import is_dead
from graphopt.ir.expansion import is_expansion
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.tensors import size_in_bytes
from graphopt.ir.walk import captured_values, has_subgraphs, is_op, reads, subgraphs
from passes.fold_constants.evaluable import refusal, waits_for_trip_count
from passes.fold_constants.extraction import extract
from passes.fold_constants.scope import Scope

Refusals = dict[ir.Node, str]

# These make sequences and optionals, which no constant can hold, of what they are given, so that nothing grows.
_NO_TENSOR = frozenset({
    "Optional", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SplitToSequence",
})  # fmt: skip
NO_TENSOR = "its result is no tensor"
_BYTES_OF_STRING = 8


@dataclass
class Candidates:
    """Nodes to evaluate, in order, none of whose results is known to be too large."""

    max_bytes: int
    nodes: list[ir.Node] = field(default_factory=list)
    sizes: dict[ir.Value, int] = field(default_factory=dict)

    def accept(self, value: ir.Value, size: int, refusals: Refusals) -> bool:
        """Whether a result of `size` bytes may be stored; refuses its node otherwise."""
        node = value.producer()
        if node is None or is_expansion(node) or size <= max(self.max_bytes, self._input_bytes(node)):
            return True
        refusals[node] = f"its result has {size} bytes, more than its inputs and than max-bytes={self.max_bytes}"
        return False

    def add(self, node: ir.Node, sizes: dict[ir.Value, int | None], refusals: Refusals) -> None:
        """Take a node, unless an input will not be there or a result is known to be too large."""
        if not all(value in self.sizes or self._add_constant(value) for value in reads(node)):
            return
        if makes_no_tensor(node):
            sizes = dict.fromkeys(node.outputs, self._input_bytes(node))
        known = {value: size for value in node.outputs if (size := sizes.get(value)) is not None}
        if all(self.accept(value, size, refusals) for value, size in known.items()):
            self.nodes.append(node)
            # A result of unknown size is evaluated, but nothing grows from it before it has been measured.
            self.sizes.update(known)

    def _add_constant(self, value: ir.Value) -> bool:
        tensor = constant_tensor(value)
        if tensor is not None:
            self.sizes[value] = tensor_bytes(tensor)
        return tensor is not None

    def _input_bytes(self, node: ir.Node) -> int:
        return sum(self.sizes[value] for value in reads(node))


def find_candidates(scope: Scope, max_bytes: int, refusals: Refusals) -> Candidates:
    """Return the nodes to evaluate in one run; nodes that depend on constants alone and are kept get a reason."""
    found: dict[ir.Node, None] = {}
    _collect(scope.graph, refusals, found, set())
    nodes = list(found)
    sizes = _result_sizes(nodes, scope)
    candidates = Candidates(max_bytes)
    for node in nodes:
        candidates.add(node, sizes, refusals)
    return candidates


def makes_no_tensor(node: ir.Node) -> bool:
    """Whether the result of a node is good only for nodes that are evaluated with it."""
    return is_op(node, *_NO_TENSOR)


def _collect(graph: ir.Graph, refusals: Refusals, found: dict[ir.Node, None], computed: set[ir.Value]) -> None:
    """Find the nodes that depend on constants alone; where one with subgraphs is found, those in it are not."""
    for node in graph:
        if node not in refusals and _is_known(node, computed):
            if why := refusal(node):
                refusals[node] = why
            else:
                found[node] = None
                computed.update(node.outputs)
                continue
        if has_subgraphs(node):
            for subgraph in subgraphs(node):
                _collect(subgraph, refusals, found, computed)


def _is_known(node: ir.Node, computed: set[ir.Value]) -> bool:
    if is_op(node, "Constant") or is_dead(node):
        return False
    if not all(value is None or value in computed or is_constant(value) for value in node.inputs):
        return False
    if not has_subgraphs(node):
        return True
    captured = all(value in computed or is_constant(value) for value in captured_values(node))
    return captured and not waits_for_trip_count(node)


def _result_sizes(nodes: list[ir.Node], scope: Scope) -> dict[ir.Value, int | None]:
    """Return the bytes of each result, inferred on a copy where the model does not say."""
    sizes = {value: _size(value) for node in nodes for value in node.outputs}
    if all(size is not None for size in sizes.values()):
        return sizes
    copy = extract(nodes, scope.opset_imports, {})
    try:
        infer_shapes(copy.model)
    except ModelError:  # the node at fault will fail to evaluate, and is named then
        return sizes
    return {value: _size(copy.values[value]) for value in sizes}


def tensor_bytes(tensor: ir.TensorProtocol) -> int:
    """Return the bytes of a tensor, a string counting as one pointer."""
    return tensor.size * _BYTES_OF_STRING if tensor.dtype is ir.DataType.STRING else tensor.nbytes


def _size(value: ir.Value) -> int | None:
    if value.shape is None or value.dtype is None:
        return None
    if value.dtype is ir.DataType.STRING:
        return math.prod(value.shape.numpy()) * _BYTES_OF_STRING if value.shape.is_static() else None
    return size_in_bytes(value.shape, value.dtype)
