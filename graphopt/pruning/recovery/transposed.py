"""The columns that a transposed convolution multiplies its weight with.

It is a convolution of its input with zeros between the places, its taps in reverse (ONNX operator spec,
ConvTranspose-11): y[p] = Σ W[t]·u[p + pad - t·dilation], where u[q] = x[q / stride] if that is a place, and 0 if not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.calibration.operands import Operand
from graphopt.calibration.window import Float32, Window
from graphopt.ir.walk import is_op


def is_transposed(node: ir.Node) -> bool:
    """Whether a node is a ConvTranspose that states its pads, and no shape for them to be found from."""
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    return is_op(node, "ConvTranspose") and automatic in {"NOTSET", "VALID"} and "output_shape" not in node.attributes


def transposed_by(node: ir.Node, kernel: tuple[int, ...]) -> Operand:
    """Return what a ConvTranspose multiplies each row of its weight with, taps in the order of the weight."""
    value = node.inputs[0]
    return Operand(str(value.name if value is not None else ""), _Spread.of(node, kernel).columns)


@dataclass(frozen=True)
class _Spread:
    """A window that slides over an input with zeros between its places.

    Attributes:
        window: with the steps and the borders of the convolution that it is.
        strides: how far the places lie apart.
        borders: before and behind; what is negative is cut off.

    """

    window: Window
    strides: tuple[int, ...]
    borders: tuple[tuple[int, int], ...]

    @staticmethod
    def of(node: ir.Node, kernel: tuple[int, ...]) -> _Spread:
        given = Window.of(node, kernel)
        extra = node.attributes.get_ints("output_padding", [0] * len(kernel))
        pads = given.pads or ((0, 0),) * len(kernel)
        borders = tuple(
            ((size - 1) * apart - before, (size - 1) * apart - behind + more)
            for size, apart, (before, behind), more in zip(kernel, given.dilations, pads, extra, strict=True)
        )
        none = ((0, 0),) * len(kernel)
        window = Window(given.group, kernel, (1,) * len(kernel), given.dilations, none, "NOTSET")
        return _Spread(window, given.strides, borders)

    def columns(self, values: Float32) -> Iterator[Float32]:
        """Yield columns [groups, C/group · taps, columns] of an input [N, C, …]."""
        kernel = self.window.kernel
        for block in self.window.columns(self._spread(values)):
            taps = block.reshape(len(block), -1, *kernel, block.shape[2])
            yield np.flip(taps, axis=tuple(range(2, 2 + len(kernel)))).reshape(block.shape)

    def _spread(self, values: Float32) -> Float32:
        spatial = values.shape[2:]
        sizes = [(size - 1) * stride + 1 for size, stride in zip(spatial, self.strides, strict=True)]
        spread = np.zeros((*values.shape[:2], *sizes), np.float32)
        steps = (slice(None, None, stride) for stride in self.strides)
        spread[(slice(None), slice(None), *steps)] = values
        padded = np.pad(spread, ((0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in self.borders)))
        cut = (
            slice(max(-a, 0), size - max(-b, 0)) for (a, b), size in zip(self.borders, padded.shape[2:], strict=True)
        )
        return padded[(slice(None), slice(None), *cut)]
