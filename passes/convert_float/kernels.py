"""Whether onnxruntime runs a node in another float type: asked by loading the node alone."""

from __future__ import annotations

from collections.abc import Hashable

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor
from passes.convert_float.attributes import retype_attributes
from passes.convert_float.roles import converted_inputs, converted_outputs

_IR_VERSION = 10
_SMALL = 1024  # bytes; larger constants decide nothing about a kernel


class Kernels:
    """Answers about one type in one opset, each asked once an operator and the types it meets."""

    def __init__(self, dtype: ir.DataType, opset: int) -> None:
        self._dtype = dtype
        self._opset = opset
        self._known: dict[Hashable, bool] = {}

    def run(self, node: ir.Node) -> bool:
        """Whether a node runs in the type; one that does not run alone in float32 either is taken to."""
        if node.attributes.get_string("reduction", "none") != "none":
            return False  # onnxruntime loads a Scatter that reduces, and refuses to run it
        types = tuple(None if value is None else value.dtype for value in node.inputs)
        key = (node.op_type, types, len(node.outputs), tuple(sorted(node.attributes)))
        if key not in self._known:
            self._known[key] = self._loads(node, self._dtype) or not self._loads(node, ir.DataType.FLOAT)
        return self._known[key]

    def _loads(self, node: ir.Node, dtype: ir.DataType) -> bool:
        # onnxruntime is heavy, and other passes run without
        from graphopt.backends.ort.session import Session  # noqa: PLC0415

        try:
            Session(ir.to_proto(self._alone(node, dtype)).SerializeToString(), threads=1, optimize=False)
        except ModelError:
            return False
        return True

    def _alone(self, node: ir.Node, dtype: ir.DataType) -> ir.Model:
        converted = set(converted_inputs(node, self._dtype, self._opset))
        inputs = [
            None if value is None else _stand_in(index, value, dtype if index in converted else value.dtype)
            for index, value in enumerate(node.inputs)
        ]
        copy = ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), num_outputs=len(node.outputs))
        if dtype is self._dtype:
            retype_attributes(copy, dtype)
        changed = set(converted_outputs(node, self._dtype, self._opset))
        for index, (value, output) in enumerate(zip(node.outputs, copy.outputs, strict=True)):
            output.name = f"o{index}" if value.name else ""
            output.type = ir.TensorType(dtype) if value in changed else value.type
        given = [value for value in inputs if value is not None]
        graph = ir.Graph(
            [value for value in given if value.const_value is None],
            [output for output in copy.outputs if output.name],
            nodes=[copy],
            initializers=[value for value in given if value.const_value is not None],
            opset_imports={"": self._opset},
            name="alone",
        )
        return ir.Model(graph, ir_version=_IR_VERSION)


def _stand_in(index: int, value: ir.Value, dtype: ir.DataType | None) -> ir.Value:
    kind = value.type if dtype is None else ir.TensorType(dtype)
    name = f"i{index}"
    tensor = constant_tensor(value)
    if tensor is None or tensor.nbytes > _SMALL or tensor.dtype is not dtype:
        return ir.Value(name=name, type=kind, shape=value.shape)
    held = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name)
    return ir.Value(name=name, type=kind, shape=value.shape, const_value=held)
