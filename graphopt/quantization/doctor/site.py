"""What stands around a node of a quantized file, seen as onnxruntime's QDQ transformers see it.

Before they look for integers they let Q and DQ pass what only moves elements, drop what does nothing, and give each
reader a DequantizeLinear of its own (onnxruntime: QDQPropagation, EnsureUniqueDQForNodeUnit).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.traits import is_inert_dropout
from graphopt.ir.walk import is_op
from graphopt.quantization import forms
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.clamps import sole_reader
from graphopt.quantization.doctor.quantizers import HALF, integers_of, is_dequantize, is_quantize, parameters, shifted
from graphopt.quantization.obstacles import BIAS, clamp_of

PASSED = frozenset({"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
"""Moves that Q and DQ are let pass."""

MOVES = forms.MOVES | {"GatherElements", "ReduceMax", "ReduceMin"}
"""Operators whose results are some of the numbers that they read."""

_PAIRS = frozenset({"Add", "Conv", "ConvTranspose", "Div", "Gemm", "MatMul", "Max", "Min", "Mul", "Pow", "Sub"})
_MAX_POOL_SINCE = 12  # in which it takes integers


@dataclass(frozen=True)
class End:
    """A Q or DQ that a node meets.

    Attributes:
        node: the QuantizeLinear or DequantizeLinear.
        integers: the value of integers that the two sides share.
        readers: how many nodes come to read what the integers stand for, outputs of the graph included.

    """

    node: ir.Node
    integers: ir.Value | None
    readers: int

    @cached_property
    def affine(self) -> Affine | None:
        """Return the parameters, or None where no plan can hold them."""
        return parameters(self.node)

    @property
    def dtype(self) -> np.dtype[np.generic] | None:
        """Return the type of the integers as the file has it."""
        return integers_of(self.node)

    @property
    def kernel_dtype(self) -> np.dtype[np.generic] | None:
        """Return the type in which onnxruntime's x64 kernels get them.

        It turns int8 into uint8 where a QuantizeLinear makes them for a single reader (QDQS8ToU8).
        """
        made = self.integers is not None and is_quantize(self.integers.producer())
        return np.dtype(np.uint8) if self.dtype == np.int8 and made and self.readers == 1 else self.dtype

    @property
    def kernel_affine(self) -> Affine | None:
        """Return the parameters in that type."""
        affine, kind = self.affine, self.kernel_dtype
        if affine is None or kind is None or kind == affine.dtype:
            return affine
        return shifted(affine, kind, HALF)


@dataclass
class Site:
    """A node with the ends around it.

    Attributes:
        node: the node.
        opset: the version of `ai.onnx`.
        operands: for each data input, where its real numbers come from; None where those are real before.
        bias: where the bias of a Conv or Gemm comes from, likewise.
        clamp: the Relu or Clip that alone reads the first output.
        outputs: how many outputs there are.
        results: the QuantizeLinear that read them, or what the clamp makes of them, behind moves that Q passes.
        readers: how many others do; outputs of the graph included.

    """

    node: ir.Node
    opset: int
    operands: list[End | None] = field(init=False)
    bias: End | None = field(init=False)
    clamp: ir.Node | None = field(init=False, default=None)
    outputs: int = field(init=False)
    results: list[End] = field(init=False, default_factory=list)
    readers: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.operands = [self._operand(value) for value in data_inputs(self.node)]
        given = self.node.inputs[BIAS] if len(self.node.inputs) > BIAS else None
        self.bias = self._operand(given) if given is not None and self.node.op_type in {"Conv", "Gemm"} else None
        results = [self._result(output) for output in self.node.outputs if output.name]
        self.outputs = len(results)
        for result in results:
            quantizes = [reader for reader in result.consumers() if is_quantize(reader)]
            self.results.extend(self._end(node, result) for node in quantizes)
            self.readers += len(list(result.uses())) - len(quantizes) + result.is_graph_output()

    @property
    def is_passed_back(self) -> bool:
        """Whether a Q behind a move passes it, to stand behind what makes its input: a DQ there would stop it."""
        read = self.node.inputs[0]
        before = _producer(read)  # none of an input of the graph, which any number may read
        stops = before is not None and read is not None and (is_dequantize(before) or sole_reader(read) is None)
        return self._is_passed(self.node) and not stops and bool(self.results) and _is_scalar(self.results[0].node)

    @property
    def bias_value(self) -> ir.Value | None:
        """Return the input that holds the bias."""
        return self.node.inputs[BIAS] if len(self.node.inputs) > BIAS else None

    def _operand(self, value: ir.Value | None) -> End | None:
        origin, moved = value, 0
        producer = _producer(origin)
        while producer is not None and (_is_idle(producer) or self._is_passed(producer)):
            moved += not _is_idle(producer)
            origin = producer.inputs[0]
            producer = _producer(origin)
        if producer is None or value is None or not is_dequantize(producer) or (moved and not _is_scalar(producer)):
            return None
        integers = producer.inputs[0]
        readers = len(list(value.uses())) + value.is_graph_output() if moved else _readers(integers)
        return End(producer, integers, readers)

    def _end(self, quantize: ir.Node, result: ir.Value) -> End:
        """Return a Q behind the node; one that passes moves has a single reader where it comes to stand."""
        maker = result.producer()
        is_direct = maker is self.node or (maker is not None and maker is self.clamp)
        return End(quantize, quantize.outputs[0], _readers(quantize.outputs[0]) if is_direct else 1)

    def _result(self, value: ir.Value) -> ir.Value:
        reader = sole_reader(value)
        if reader is not None and clamp_of(reader) is not None and not is_op(self.node, *MOVES):
            self.clamp, value = reader, reader.outputs[0]
            reader = sole_reader(value)
        start = value
        while reader is not None and (_is_idle(reader) or self._is_passed(reader)):
            value = reader.outputs[0]
            reader = sole_reader(value)
        moved = value is not start
        quantize = next((node for node in value.consumers() if is_quantize(node)), None)
        return start if moved and quantize is not None and not _is_scalar(quantize) else value

    def _is_passed(self, node: ir.Node) -> bool:
        return is_op(node, *PASSED) and not (node.op_type == "MaxPool" and self.opset < _MAX_POOL_SINCE)


def data_inputs(node: ir.Node) -> list[ir.Value | None]:
    """Return the inputs that hold what a node computes with, its bias aside."""
    if is_op(node, "Concat"):
        return list(node.inputs)
    return list(node.inputs[: 2 if is_op(node, *_PAIRS) else 1])


def _readers(integers: ir.Value | None) -> int:
    """Count who comes to read integers: readers of each DequantizeLinear, and whatever reads them as they are."""
    return 0 if integers is None else sum(_shares(integers)) + integers.is_graph_output()


def _shares(integers: ir.Value) -> Iterator[int]:
    for reader in integers.consumers():
        yield len(list(reader.outputs[0].uses())) + reader.outputs[0].is_graph_output() if is_dequantize(reader) else 1


def _is_idle(node: ir.Node) -> bool:
    return is_op(node, "Identity") or is_inert_dropout(node)


def _is_scalar(node: ir.Node) -> bool:
    scale = constant(node.inputs[1])
    return scale is not None and scale.size == 1


def _producer(value: ir.Value | None) -> ir.Node | None:
    return value.producer() if value is not None else None
