"""Operators that take and make integers themselves, by the nodes that define them: dequantize, compute, quantize.

Sources: ONNX operator spec, QLinearConv-10, QLinearMatMul-21, ConvInteger-10, MatMulInteger-10; onnxruntime's
docs/ContribOperators.md for those of com.microsoft. The nodes are lowered as if they stood in the graph, and so become
the same kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from graphopt.backends.tvm.lower.known import is_known
from graphopt.backends.tvm.lower.lowered import Emitter, Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import shape_of
from graphopt.ir.constants import constant
from graphopt.ir.fusible import ANCHORS
from graphopt.tensors import Array

MICROSOFT = "com.microsoft"
_OPSET = 21
"""Of the nodes that are made."""


def by_definition(define: Definition, lower: Emitter) -> Emitter:
    """Return an emitter that lowers a node by those that define it."""

    def emit(lowering: Lowering, node: ir.Node) -> list[Lowered]:
        results: list[Lowered] = []
        with _steps(define, node) as steps:
            for step in steps:
                if all(map(is_known, step.outputs)):
                    continue
                results = lower(lowering, step)
                if step.op_type in ANCHORS and results[0].affine is None:
                    raise RefusalError("its sums may leave int32")
                for value, result in zip(step.outputs, results, strict=True):
                    lowering.define(value, result)
        return results

    return emit


@dataclass
class _Steps:
    """The nodes that define one, in the making."""

    node: ir.Node
    nodes: list[ir.Node] = field(default_factory=list)

    def input(self, index: int) -> ir.Value | None:
        """Return an input of the node."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def add(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        shape: Sequence[int],
        dtype: ir.DataType = ir.DataType.FLOAT,
        **attributes: int | float,
    ) -> ir.Value:
        """Add a node of the standard domain and return its result; it has the attributes of the one it defines, too."""
        own = {} if operator in _QUANTIZING else dict(self.node.attributes)
        given = {name: ir.Attr(name, _KINDS[type(value)], value) for name, value in attributes.items()}
        result = ir.Value(
            name=f"{self.node.outputs[0].name}_{operator}{len(self.nodes)}",
            shape=ir.Shape(shape),
            type=ir.TensorType(dtype),
        )
        self.nodes.append(
            ir.Node("", operator, inputs, list({**own, **given}.values()), outputs=[result], version=_OPSET)
        )
        return result

    def real(self, first: int, axis: int = 1) -> ir.Value:
        """Dequantize three inputs: integers, scale and zero point."""
        data, scale, zero_point = (self.input(index) for index in range(first, first + 3))
        return self.dequantized(data, scale, zero_point, axis)

    def dequantized(
        self, data: ir.Value | None, scale: ir.Value | None, zero_point: ir.Value | None, axis: int
    ) -> ir.Value:
        if data is None or scale is None:
            raise RefusalError("an input or its scale is missing")
        return self.add("DequantizeLinear", [data, scale, zero_point], shape_of(data), axis=axis)

    def quantize(self, real: ir.Value, scale: ir.Value | None, zero_point: ir.Value | None) -> None:
        """Quantize the result, at the end."""
        (output,) = self.node.outputs
        dtype = ir.DataType.UINT8 if zero_point is None else zero_point.dtype
        self.add("QuantizeLinear", [real, scale, zero_point], shape_of(output), dtype or ir.DataType.UINT8)

    def output_shape(self) -> tuple[int, ...]:
        return shape_of(self.node.outputs[0])


Definition = Callable[[_Steps], None]
_QUANTIZING = frozenset({"DequantizeLinear", "QuantizeLinear"})
_KINDS = {int: ir.AttributeType.INT, float: ir.AttributeType.FLOAT}


@contextmanager
def _steps(define: Definition, node: ir.Node) -> Iterator[list[ir.Node]]:
    """Yield the nodes that define one, which its inputs do not remember."""
    steps = _Steps(node)
    try:
        define(steps)
        yield steps.nodes
    finally:
        for made in steps.nodes:
            for index in range(len(made.inputs)):
                made.replace_input_with(index, None)


def _conv(steps: _Steps) -> None:
    """Take x, its scale and zero point, w and its, those of y, and a bias of int32 in the product of the scales."""
    operands = [steps.real(0), _weights(steps, 3, axis=0)]
    if (bias := steps.input(8)) is not None:
        operands.append(_bias(steps, bias, (1, 4)))
    steps.quantize(steps.add("Conv", operands, steps.output_shape()), steps.input(6), steps.input(7))


def _matmul(steps: _Steps) -> None:
    product = steps.add("MatMul", [steps.real(0), _weights(steps, 3, axis=1)], steps.output_shape())
    steps.quantize(product, steps.input(6), steps.input(7))


def _gemm(steps: _Steps) -> None:
    """Take A and B with scales and zero points, C of int32 in the product of their scales, those of Y or none."""
    transposed = steps.node.attributes.get_int("transB", 0) != 0
    operands = [steps.real(0), _weights(steps, 3, axis=0 if transposed else 1)]
    if (bias := steps.input(6)) is not None:
        operands.append(_bias(steps, bias, (1, 4)))
    product = steps.add("Gemm", operands, steps.output_shape())
    if steps.input(7) is not None:
        steps.quantize(product, steps.input(7), steps.input(8))


def _bias(steps: _Steps, bias: ir.Value, scales: tuple[int, int]) -> ir.Value:
    left, right = (constant(steps.input(index)) for index in scales)
    if left is None or right is None:
        raise RefusalError("its scales are not constant")
    size = int(np.prod(shape_of(bias)))
    scale = np.broadcast_to(np.multiply(left, right).reshape(-1), size)
    flat = bias if len(shape_of(bias)) == 1 else _constant(np.asarray(constant(bias)).reshape(-1))
    return steps.dequantized(flat, _constant(np.ascontiguousarray(scale)), None, 0)


def _weights(steps: _Steps, first: int, axis: int) -> ir.Value:
    """Dequantize weights; sums of float32 would not be those of the integers."""
    weights = steps.real(first, axis)
    if not is_known(weights):
        raise RefusalError("its weights, their scale or zero point are not constant")
    return weights


def _binary(operator: str) -> Definition:
    """Take a and b with scales and zero points, and those of c."""

    def define(steps: _Steps) -> None:
        result = steps.add(operator, [steps.real(0), steps.real(3)], steps.output_shape())
        steps.quantize(result, steps.input(6), steps.input(7))

    return define


def _unary(operator: str) -> Definition:
    """Take x with its scale and zero point, and those of y."""

    def define(steps: _Steps) -> None:
        if steps.node.attributes.get_int("channels_last", 0) != 0:
            raise RefusalError("its channels come last")
        steps.quantize(steps.add(operator, [steps.real(0)], steps.output_shape()), steps.input(3), steps.input(4))

    return define


def _concat(steps: _Steps) -> None:
    """Take the scale and zero point of y, then parts with theirs."""
    parts = [steps.real(first) for first in range(2, len(steps.node.inputs), 3)]
    steps.quantize(steps.add("Concat", parts, steps.output_shape()), steps.input(0), steps.input(1))


def _sums(operator: str, axis: int) -> Definition:
    """Take x and w of 8 bits, and their zero points; the sums themselves are the result."""

    def define(steps: _Steps) -> None:
        one = _constant(np.ones((), np.float32))
        data = steps.dequantized(steps.input(0), one, steps.input(2), 1)
        weights = steps.dequantized(steps.input(1), one, steps.input(3), axis)
        if not is_known(weights):
            raise RefusalError("its weights or their zero point are not constant")
        result = steps.add(operator, [data, weights], steps.output_shape())
        steps.add("Cast", [result], steps.output_shape(), ir.DataType.INT32, to=int(ir.DataType.INT32))

    return define


def _constant(array: Array) -> ir.Value:
    kind = ir.TensorType(ir.DataType.from_numpy(array.dtype))
    made = ir.Value(name="constant", shape=ir.Shape(array.shape), type=kind)
    ir.Node("", "Constant", [], [ir.AttrTensor("value", ir.Tensor(array))], outputs=[made])
    return made


DEFINITIONS: Mapping[tuple[str, str], Definition] = {
    ("", "ConvInteger"): _sums("Conv", axis=0),
    ("", "MatMulInteger"): _sums("MatMul", axis=1),
    ("", "QLinearConv"): _conv,
    ("", "QLinearMatMul"): _matmul,
    (MICROSOFT, "QGemm"): _gemm,
    (MICROSOFT, "QLinearAdd"): _binary("Add"),
    (MICROSOFT, "QLinearAveragePool"): _unary("AveragePool"),
    (MICROSOFT, "QLinearConcat"): _concat,
    (MICROSOFT, "QLinearGlobalAveragePool"): _unary("GlobalAveragePool"),
    (MICROSOFT, "QLinearLeakyRelu"): _unary("LeakyRelu"),
    (MICROSOFT, "QLinearMul"): _binary("Mul"),
    (MICROSOFT, "QLinearSigmoid"): _unary("Sigmoid"),
}
"""By domain and operator."""
