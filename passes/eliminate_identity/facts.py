"""The algebra of doing nothing: for each operator, when its first output is one of its inputs.

A fact maps a node to that input, or to what it was made of, or to None. All are exact in every element but two:
x + 0 turns -0.0 into 0.0, and a Clip without bounds turns an infinity into the largest number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dims import broadcasts_into, same_shape
from graphopt.ir.traits import has_references, is_inert_dropout
from graphopt.ir.walk import is_op
from passes.eliminate_identity import conditions as when

Fact = Callable[[ir.Node], ir.Value | None]


def passes_through(*conditions: when.Condition) -> Fact:
    """Return the fact that the output is the first input if any of the conditions holds."""
    return lambda node: node.inputs[0] if any(condition(node) for condition in conditions) else None


def neutral(element: float, *, commutes: bool = False) -> Fact:
    """Return the fact that x ∘ e = x, and e ∘ x = x where ∘ commutes, if e does not widen x."""

    def fact(node: ir.Node) -> ir.Value | None:
        left, right = node.inputs
        for x, e in ((left, right), (right, left))[: 1 + commutes]:
            if _is_filled(e, element) and (same_shape(x, node.outputs[0]) or broadcasts_into(e, x)):
                return x
        return None

    return fact


def _is_filled(value: ir.Value | None, element: float) -> bool:
    array = constant(value)
    if array is None or array.dtype.kind in "OSU":
        return False
    return bool(np.all(array == np.array(element).astype(array.dtype)))


def _chosen(node: ir.Node) -> ir.Value | None:
    """Where(true, x, y) = x; Where(false, x, y) = y; Where(c, x, x) = x."""
    condition, x, y = node.inputs
    known = constant(condition)
    if x is y or (known is not None and known.size and known.all()):
        choice = x
    elif known is not None and known.size and not known.any():
        choice = y
    else:
        return None
    return choice if same_shape(choice, node.outputs[0]) else None


def _rounded_again(node: ir.Node) -> ir.Value | None:
    """quantize(dequantize(q, s, z), s, z) = q, since s(q - z) / s is q - z but for float32's rounding."""
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    if not is_op(maker, "DequantizeLinear") or maker is None or has_references(maker):
        return None
    return maker.inputs[0] if when.rounds_as(node, maker) else None


FACTS: dict[str, Fact] = {
    "Identity": passes_through(when.always),
    "Dropout": passes_through(is_inert_dropout),
    "Cast": passes_through(when.casts_to_own_type),
    "CastLike": passes_through(when.casts_to_own_type),
    # These lay out the same elements in the same order, so an equal shape is an equal tensor.
    "Reshape": passes_through(when.keeps_shape, when.reshapes_to_own_shape),
    "Flatten": passes_through(when.keeps_shape, when.flattens_a_matrix),
    "Squeeze": passes_through(when.keeps_shape),
    "Unsqueeze": passes_through(when.keeps_shape, when.integers_are("axes", 1, set())),
    "Expand": passes_through(when.keeps_shape, when.expands_by_ones),
    "Tile": passes_through(when.keeps_shape, when.integers_are("repeats", 1, {1})),
    "Transpose": passes_through(when.transposes_nothing),
    "Pad": passes_through(when.integers_are("pads", 1, {0})),
    "Slice": passes_through(when.slices_everything),
    "Concat": passes_through(when.has_one_input),
    "Split": passes_through(when.has_one_output),
    "DepthToSpace": passes_through(when.has_unit_blocks),
    "SpaceToDepth": passes_through(when.has_unit_blocks),
    "Resize": passes_through(when.resizes_to_own_size),
    "Upsample": passes_through(when.upsamples_by_ones),
    # One element has itself as its sum, product, mean, largest and smallest.
    "AveragePool": passes_through(when.pools_one_element),
    "MaxPool": passes_through(when.pools_one_element),
    "GlobalAveragePool": passes_through(when.keeps_shape),
    "GlobalMaxPool": passes_through(when.keeps_shape),
    "ReduceMax": passes_through(when.keeps_shape),
    "ReduceMean": passes_through(when.keeps_shape),
    "ReduceMin": passes_through(when.keeps_shape),
    "ReduceProd": passes_through(when.keeps_shape),
    "ReduceSum": passes_through(when.keeps_shape),
    "Max": passes_through(when.has_one_input),
    "Mean": passes_through(when.has_one_input),
    "Min": passes_through(when.has_one_input),
    "Sum": passes_through(when.has_one_input),
    "Clip": passes_through(when.is_unbounded),
    "Where": _chosen,
    "QuantizeLinear": _rounded_again,
    "Add": neutral(0, commutes=True),
    "Sub": neutral(0),
    "Mul": neutral(1, commutes=True),
    "Div": neutral(1),
    "Pow": neutral(1),
    "And": neutral(True, commutes=True),
    "Or": neutral(False, commutes=True),
    "Xor": neutral(False, commutes=True),
    "BitwiseAnd": neutral(-1, commutes=True),
    "BitwiseOr": neutral(0, commutes=True),
    "BitwiseXor": neutral(0, commutes=True),
    "BitShift": neutral(0),
}
