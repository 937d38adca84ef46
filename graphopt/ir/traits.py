"""Traits of operators that several passes reason with, in MLIR's sense of the word."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.walk import STANDARD_DOMAINS, is_op

RANDOM = frozenset({
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
})  # fmt: skip
# These say how a number is stored, not what it is; backends look for them.
QUANTIZATION = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})
# f(a, b) = f(b, a), bit by bit.
COMMUTATIVE = frozenset({
    "Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Max", "Mean", "Min", "Mul", "Or", "Sum", "Xor",
})  # fmt: skip


def is_standard(node: ir.Node) -> bool:
    """Whether a node is of the domain `ai.onnx`."""
    return node.domain in STANDARD_DOMAINS


def is_random(node: ir.Node) -> bool:
    """Whether a standard operator may answer differently on equal inputs."""
    return is_op(node, *RANDOM) or (is_op(node, "Dropout") and not is_inert_dropout(node))


def is_inert_dropout(node: ir.Node) -> bool:
    """Whether a Dropout of opset 7 or later passes its input through: it does not train, or drops nothing."""
    if not is_op(node, "Dropout"):
        return False
    training, ratio = (constant(node.inputs[i]) if len(node.inputs) > i else None for i in (2, 1))
    trains = len(node.inputs) > 2 and node.inputs[2] is not None and (training is None or bool(training))
    return not trains or (ratio is not None and not ratio)


def has_references(node: ir.Node) -> bool:
    """Whether an attribute of a node, in the body of a function, is given by the function's caller."""
    return any(attribute.is_ref() for attribute in node.attributes.values())
