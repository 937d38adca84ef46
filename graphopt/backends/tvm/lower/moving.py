"""Operators that move elements, or choose among them: of values that are held as integers they move these.

Nothing is computed then, and a byte is moved instead of four, provided that all that comes together is held alike: what
is quantized behind a Concat is quantized before it.
MaxPool is one of them: scales are positive, so the largest integer stands for the largest number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from graphopt.backends.tvm.lower.importer import opset
from graphopt.backends.tvm.lower.lowered import Emitter, Lowered, Lowering
from graphopt.backends.tvm.lower.quantization import Parameters, held_on_grid, parameters_of_readers
from graphopt.backends.tvm.lower.types import shape_of
from graphopt.ir.constants import constant
from graphopt.tensors import Array

_JOINS = frozenset({"Concat"})
"""Operators all of whose inputs are data; that of the others is the first."""


def on_integers(emit: Emitter) -> Emitter:
    """Return an emitter that moves integers where a value is held as such, and does as `emit` elsewhere."""

    def emit_integers(lowering: Lowering, node: ir.Node) -> list[Lowered]:
        held = _held_alike(lowering, node)
        if not held and node.op_type in _JOINS and (parameters := parameters_of_readers(node.outputs[0])) is not None:
            with _quantized(lowering, node, parameters) as alike:
                return emit_integers(lowering, alike)
        first = next(iter(held.values()), None)
        if first is None or first.affine is None or not _only_moves(node):
            return emit(lowering, node)
        with _of_integers(lowering, node, held, first.affine.zero_point) as moving:
            return [replace(result, affine=first.affine) for result in emit(lowering, moving)]

    return emit_integers


def _held_alike(lowering: Lowering, node: ir.Node) -> dict[int, Lowered]:
    """Return the data of a node by the index of the input, none unless equal integers stand for equal numbers."""
    count = len(node.inputs) if node.op_type in _JOINS else 1
    found = [lowering.held(value) for value in node.inputs[:count]]
    held = {index: each for index, each in enumerate(found) if each is not None}
    kinds = {each.dtype for each in held.values()}
    affines = [each.affine for each in held.values() if each.affine is not None]
    if len(held) < count or len(kinds) > 1 or not all(affine.is_same(affines[0]) for affine in affines):
        return {}
    return {} if affines[0].scale.ndim else held


def _only_moves(node: ir.Node) -> bool:
    """Whether a node computes no new elements: resizing may, and padding may bring in others than 0."""
    if node.op_type == "Resize":
        return node.attributes.get_string("mode", "nearest") == "nearest"
    if node.op_type != "Pad" or node.attributes.get_string("mode", "constant") != "constant":
        return True
    value = node.inputs[2] if len(node.inputs) > 2 else None
    number = constant(value)
    return node.attributes.get_float("value", 0.0) == 0 and (value is None or (number is not None and not number.any()))


@contextmanager
def _quantized(lowering: Lowering, node: ir.Node, parameters: Parameters) -> Iterator[ir.Node]:
    """Yield a node like another on data that is quantized before it is joined, each part in its own kernel."""
    inputs: list[ir.Value | None] = []
    for index, value in enumerate(value for value in node.inputs if value is not None):
        part = _value(f"part{index}", shape_of(value), "float32")
        lowering.define(part, held_on_grid(lowering, lowering.lowered(value), parameters))
        inputs.append(part)
    with _like(node, inputs, "float32") as alike:
        yield alike


@contextmanager
def _of_integers(lowering: Lowering, node: ir.Node, held: Mapping[int, Lowered], zero_point: int) -> Iterator[ir.Node]:
    """Yield a node like another on the integers that its data is held as."""
    dtype = next(iter(held.values())).dtype
    inputs = list(node.inputs)
    for index, lowered in held.items():
        inputs[index] = integers = _value(f"integers{index}", lowered.shape, dtype)
        lowering.define(integers, replace(lowered, affine=None))
    if node.op_type == "Pad" and node.attributes.get_string("mode", "constant") == "constant":
        inputs[2:3] = [_constant(np.asarray(zero_point, dtype))]
    with _like(node, inputs, dtype) as moving:
        yield moving


@contextmanager
def _like(node: ir.Node, inputs: Sequence[ir.Value | None], dtype: str) -> Iterator[ir.Node]:
    """Yield a node like another on other inputs, which do not remember it."""
    outputs = [_value(value.name, shape_of(value), dtype) for value in node.outputs]
    made = ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), outputs=outputs, version=opset(node))
    try:
        yield made
    finally:
        for index in range(len(inputs)):
            made.replace_input_with(index, None)


def _value(name: str | None, shape: tuple[int, ...], dtype: str) -> ir.Value:
    kind = ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype)))
    return ir.Value(name=name, shape=ir.Shape(shape), type=kind)


def _constant(array: Array) -> ir.Value:
    made = _value("zero", array.shape, str(array.dtype))
    ir.Node("", "Constant", [], [ir.AttrTensor("value", ir.Tensor(array))], outputs=[made])
    return made
