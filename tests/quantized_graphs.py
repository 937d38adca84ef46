"""Small quantized graphs, built operand by operand: for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

Zero = np.generic | npt.NDArray[Any]
Scale = float | npt.NDArray[np.float32]
U8, S8 = np.uint8, np.int8
MIDDLE = U8(128)


class Graph:
    """A graph of one float input `x`; verbs add nodes and return the name of what they make.

    Nodes are named after their operator and a number, so that what becomes of them can be followed.
    """

    def __init__(self, shape: Sequence[int] = (1, 8, 8, 8), *, opset: int = 17) -> None:
        self.shape = shape
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def constant(self, array: npt.ArrayLike) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, op_type: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        name = f"{op_type}{len(self.nodes)}"
        names = [f"{name}_out{index}" if index else f"{name}_out" for index in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=name, domain=domain, **attributes))
        return names[0]

    def parameters(self, scale: Scale, zero: Zero) -> tuple[str, str]:
        return self.constant(np.asarray(scale, np.float32)), self.constant(zero)

    def quantize(self, x: str, scale: Scale = 0.05, zero: Zero = MIDDLE, **attributes: Any) -> str:
        return self.op("QuantizeLinear", x, *self.parameters(scale, zero), **attributes)

    def dequantize(self, q: str, scale: Scale = 0.05, zero: Zero = MIDDLE, **attributes: Any) -> str:
        return self.op("DequantizeLinear", q, *self.parameters(scale, zero), **attributes)

    def both(self, x: str, scale: Scale = 0.05, zero: Zero = MIDDLE, **attributes: Any) -> str:
        return self.dequantize(self.quantize(x, scale, zero, **attributes), scale, zero, **attributes)

    def integers(self, shape: Sequence[int], dtype: npt.DTypeLike = S8) -> str:
        limits = np.iinfo(np.dtype(dtype))
        return self.constant(self.rng.integers(limits.min + 1, limits.max, shape).astype(dtype))

    def weight(
        self,
        shape: Sequence[int],
        scale: Scale = 0.01,
        zero: Zero | None = None,
        dtype: npt.DTypeLike = S8,
        **axis: int,
    ) -> str:
        held = np.zeros(np.shape(scale), dtype) if zero is None else zero
        return self.dequantize(self.integers(shape, dtype), scale, held, **axis)

    def bias(self, count: int, scale: Scale = 0.0005, zero: int = 0, **axis: int) -> str:
        held = self.constant(self.rng.integers(-100, 100, count).astype(np.int32))
        return self.dequantize(held, scale, np.full(np.shape(scale), zero, np.int32), **axis)

    def conv(self, x: str, weight: str, *bias: str, **attributes: Any) -> str:
        return self.op("Conv", x, weight, *bias, **{"pads": [1, 1, 1, 1]} | attributes)

    def proto(self, *outputs: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "quantized",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            self.constants,
        )
        domains = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=10)

    def model(self, *outputs: str) -> ir.Model:
        from graphopt.ir.load import load

        return load(self.typed(*outputs))

    def typed(self, *outputs: str) -> onnx.ModelProto:
        """Return the protobuf with the types that onnxruntime finds its outputs to have."""
        import onnxruntime

        proto = self.proto(*outputs)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
        kinds = {"float": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
        for value, found in zip(proto.graph.output, session.get_outputs(), strict=True):
            kind = kinds[found.type.removeprefix("tensor(").removesuffix(")")]
            value.CopyFrom(helper.make_tensor_value_info(found.name, kind, found.shape))
        return proto


def per_channel(value: float, count: int) -> npt.NDArray[np.float32]:
    """Scales around a value, all different."""
    return (value * np.linspace(0.5, 1.5, count)).astype(np.float32)
