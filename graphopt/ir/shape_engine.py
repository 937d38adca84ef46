"""The two engines of shape inference, each confined so that a failure leaves nothing behind.

`onnx_shape_inference` is symbolic, propagates the content of shape tensors, and took 0.9 s on 20,000 nodes
where the C++ inference of onnx took many; the latter serves as a second opinion where the first one fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import onnx
import onnx_ir as ir
from onnx_shape_inference import SYM_DATA_KEY, infer_symbolic_shapes

from graphopt.ir.shape_corrections import register_corrections
from graphopt.ir.skeleton import skeleton
from graphopt.ir.walk import captured_values, is_op, nodes, nodes_within, scopes, subgraphs

# ValueError is the root of the engine's own errors; the others come from forms that it does not expect.
FAILURES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError)
# An invalid element type leaves the C++ code as a ValueError, a missing one as an IndexError.
ONNX_FAILURES = (onnx.shape_inference.InferenceError, ValueError, IndexError)
Contents = dict[ir.Value, ir.TensorProtocol]
Hidden = tuple[ir.Node, int, ir.Value]
_FIRST_STATE = 2  # of a Loop's inputs, behind the trip count and the condition


class InferenceFailedError(Exception):
    """An engine found a contradiction, or its own limit."""


class Declared(NamedTuple):
    """What is written on a value."""

    type: ir.TypeProtocol | None
    shape: ir.Shape | None


def infer_symbolically(model: ir.Model, *, branches_apart: bool = False) -> Contents:
    """Infer in place what is not declared; return the small integer tensors whose content is thereby known.

    Declared dtypes and sizes stay. Overridable initializers count as unknown. With `branches_apart` the branches
    of an If learn nothing from around them: one that is never taken may fit other sizes than there are.

    Raises:
        InferenceFailedError: half of the values may have been annotated by then.

    """
    register_corrections()
    defaults = [(value, value.const_value) for value in model.graph.inputs if value.is_initializer()]
    for value, _ in defaults:
        value.const_value = None
    hidden = _hide_loop_states(model) + (_hide_captured(model) if branches_apart else [])
    try:
        infer_symbolic_shapes(model, policy="strict", warn_on_missing=False, adopt_declared_symbols=False)
    except FAILURES as error:
        raise InferenceFailedError(str(error.__cause__ or error)) from error
    finally:
        for value, tensor in defaults:
            value.const_value = tensor
        for node, index, value in reversed(hidden):
            node.replace_input_with(index, value)
        contents = _take_contents(model)
    _take_numbers(model)
    return contents


def infer_by_onnx(model: ir.Model) -> dict[ir.Value, Declared]:
    """Return what the C++ inference of onnx knows of the main graph's values, leaving the model alone.

    Raises:
        InferenceFailedError: it finds the model inconsistent.

    """
    proto = ir.to_proto(skeleton(model))
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except ONNX_FAILURES as error:
        raise InferenceFailedError(str(error)) from error
    pairs = zip(model.graph, ir.from_proto(inferred).graph, strict=True)
    return {
        ours: Declared(theirs.type, theirs.shape)
        for node, inferred_node in pairs
        for ours, theirs in zip(node.outputs, inferred_node.outputs, strict=True)
    }


def _hide_loop_states(model: ir.Model) -> list[Hidden]:
    """Hide the shapes of the states that Loops begin with: the engine would take them for those of every turn."""
    places = ((node, range(_FIRST_STATE, len(node.inputs))) for node in nodes(model) if is_op(node, "Loop"))
    return [found for node, indices in places for found in _hide(node, indices, lambda value: value.shape is not None)]


def _hide_captured(model: ir.Model) -> list[Hidden]:
    """Hide the shapes and contents of what the branches of Ifs read from around them."""
    hidden: list[Hidden] = []
    for node in nodes(model):
        captured = set(captured_values(node)) if is_op(node, "If") else ()
        for reader in (inner for graph in subgraphs(node) for inner in nodes_within(graph)) if captured else ():
            hidden += _hide(reader, range(len(reader.inputs)), captured.__contains__)
    return hidden


def _hide(node: ir.Node, indices: range, is_told: Callable[[ir.Value], bool]) -> list[Hidden]:
    """Put values without a shape in front of a node and return what stood there."""
    found = [(node, index, value) for index in indices if (value := node.inputs[index]) is not None and is_told(value)]
    for _, index, value in found:
        node.replace_input_with(index, ir.Value(name=value.name, type=value.type))
    return found


def _take_numbers(model: ir.Model) -> None:
    """Make sizes of the expressions whose symbols have cancelled: the engine leaves N·36 / N as `36`."""
    for node in nodes(model):
        for value in node.outputs:
            if value.shape is not None and any(map(_written_number, value.shape)):
                value.shape = ir.Shape(int(number) if (number := _written_number(dim)) else dim for dim in value.shape)


def _written_number(dim: int | ir.SymbolicDim) -> str:
    return dim.value if not isinstance(dim, int) and dim.value is not None and dim.value.isdigit() else ""


def _take_contents(model: ir.Model) -> Contents:
    """Remove what the engine leaves beside types and shapes, and return the tensors among it."""
    contents: Contents = {}
    for scope in scopes(model):
        for node in scope:
            for value in node.outputs:
                if value.const_value is not None:
                    contents[value] = value.const_value
                    value.const_value = None
                value.metadata_props.pop(SYM_DATA_KEY, None)
    return contents
