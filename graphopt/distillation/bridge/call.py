"""One execution of a node: what an operator's function in PyTorch is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor

INTEGERS: Mapping[ir.DataType, torch.dtype] = {
    ir.DataType.BOOL: torch.bool,
    ir.DataType.INT8: torch.int8,
    ir.DataType.INT16: torch.int16,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.UINT16: torch.uint16,
    ir.DataType.UINT32: torch.uint32,
    ir.DataType.UINT64: torch.uint64,
}
"""The types that a value keeps; every floating-point number is computed in one type, `Call.dtype`."""


@dataclass(frozen=True)
class Mode:
    """How operators run that behave otherwise in training.

    Attributes:
        dropout: whether Dropout drops.
        batch_statistics: whether BatchNormalization normalizes by the batch, and lets the stored statistics follow.

    """

    dropout: bool = False
    batch_statistics: bool = False


INFERENCE = Mode()


@dataclass(frozen=True)
class Call:
    """A node with the values that it reads.

    Attributes:
        inputs: one a place, None where the node leaves an optional one out.
        opset: of the standard domain.
        dtype: in which floating-point numbers are computed.

    """

    node: ir.Node
    inputs: Sequence[Tensor | None]
    opset: int
    dtype: torch.dtype
    mode: Mode = INFERENCE

    def __getitem__(self, index: int) -> Tensor:
        tensor = self.inputs[index]
        if tensor is None:
            raise IndexError(f"{self.node.op_type} has no input {index}")
        return tensor

    @property
    def present(self) -> list[Tensor]:
        """The inputs that are there, in their order."""
        return [tensor for tensor in self.inputs if tensor is not None]

    def get(self, index: int) -> Tensor | None:
        """Return an optional input."""
        return self.inputs[index] if index < len(self.inputs) else None

    def listed(self, index: int) -> list[int] | None:
        """Return an optional input of integers, which says how and not what, as a list."""
        tensor = self.get(index)
        return None if tensor is None else tensor.reshape(-1).tolist()

    def number(self, name: str, default: int) -> int:
        """Return an attribute."""
        return self.node.attributes.get_int(name, default)

    def real(self, name: str, default: float) -> float:
        """Return an attribute."""
        return self.node.attributes.get_float(name, default)

    def text(self, name: str, default: str) -> str:
        """Return an attribute."""
        return self.node.attributes.get_string(name, default)

    def ints(self, name: str) -> list[int] | None:
        """Return an attribute, None where it is left out."""
        return list(self.node.attributes.get_ints(name, [])) if name in self.node.attributes else None

    def axes(self, index: int) -> list[int] | None:
        """Return axes: an attribute in older opsets, the input `index` in newer ones."""
        given = self.ints("axes")
        return self.listed(index) if given is None else given


Operator = Callable[[Call], Tensor | Sequence[Tensor]]
"""Returns the output, or the outputs in their order; those that nobody reads may be left out at the end."""
