"""The directory of a program in the making: numbered parts, and one file of weights that all of them read."""

from __future__ import annotations

import itertools
from pathlib import Path

import onnx_ir as ir

from graphopt.backends.tvm.weights import WeightWriter
from graphopt.ir.save import SMALLEST_EXTERNAL
from graphopt.ir.tensors import Slot, slots
from graphopt.runtime.manifest import WEIGHTS


class Package:
    """Where the parts of a program go; its variants number them on, and share the weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = WeightWriter(folder / WEIGHTS)
        self._numbers = itertools.count()

    def next_name(self) -> str:
        """Return the stem of the next part's file."""
        return f"part-{next(self._numbers)}"

    def write_model(self, model: ir.Model, name: str) -> None:
        """Write a part for onnxruntime; its larger initializers go to the file of weights.

        The model is used up. What lies in other files is taken from there.
        """
        initializers = set(model.graph.initializers.values())
        for slot in slots(model):
            if slot.owner in initializers and _is_large(slot.tensor):
                self._share(slot)
            elif isinstance(slot.tensor, ir.ExternalTensor):
                slot.put(ir.Tensor(slot.tensor.numpy(), dtype=slot.tensor.dtype, name=slot.tensor.name))
        (self.folder / name).write_bytes(ir.to_proto(model).SerializeToString())

    def _share(self, slot: Slot) -> None:
        tensor = slot.tensor
        place = self.weights.add_bytes(tensor.tobytes())
        shape = ir.Shape(tensor.shape.numpy())
        slot.put(
            ir.ExternalTensor(
                WEIGHTS, place, tensor.nbytes, tensor.dtype, shape=shape, name=tensor.name or "", base_dir=self.folder
            )
        )


def _is_large(tensor: ir.TensorProtocol) -> bool:
    return tensor.dtype is not ir.DataType.STRING and tensor.nbytes >= SMALLEST_EXTERNAL
