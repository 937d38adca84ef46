"""QDQ as TensorRT takes it (developer guide, "Working with quantized types": explicit quantization, Q/DQ placement).

Integers are what stands in front of a layer; what it makes stays a float, which the next QuantizeLinear is fused with.
Biases are floats, and Relu and Clip stay, to be fused with the layer before them. Of a sum only the branch is quantized
that is no longer in the accumulator: the plan says which.
"""

from __future__ import annotations

import onnx_ir as ir

from graphopt.quantization.affine import Affine
from graphopt.quantization.emit.qdq import QDQEmitter


class TensorRTEmitter(QDQEmitter):
    """Writes one plan into one model, with integers in front of layers alone."""

    def _drop_clamps(self) -> None:
        pass

    def _summed(self, node: ir.Node) -> Affine | None:  # noqa: ARG002  # whatever it sums, it adds a float
        return None

    def _quantize_activation(self, value: ir.Value, affine: Affine) -> None:
        """Let all readers in integers share a DequantizeLinear; the others, and the graph's outputs, read the float."""
        uses = [(reader, index) for reader, index in value.uses() if reader in self._nodes]
        if uses:
            shared = self._read(None, self._quantize(value, affine), affine, str(value.name))
            for reader, index in uses:
                reader.replace_input_with(index, shared)
