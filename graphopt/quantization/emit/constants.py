"""The constants that Q and DQ read: scales and zero points, integers of weights and of biases."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.edit import Names, add_initializer
from graphopt.quantization.affine import SMALLEST_SCALE, Affine, Reals
from graphopt.tensors import Array


class Constants:
    """Makes initializers of a graph, equal ones once."""

    def __init__(self, graph: ir.Graph, names: Names) -> None:
        self._graph = graph
        self._names = names
        self._parameters: dict[Affine, tuple[ir.Value, ir.Value]] = {}
        self._zero_points: dict[tuple[np.dtype[np.generic], bytes, tuple[int, ...]], ir.Value] = {}
        self._held: dict[tuple[str, Affine | None], ir.Value] = {}

    def parameters(self, affine: Affine, name: str) -> tuple[ir.Value, ir.Value]:
        """Return scale and zero point; `name` is that of the first value that has them."""
        if affine not in self._parameters:
            scale = self._add(f"{name}_scale", affine.scale)
            self._parameters[affine] = scale, self._zero_point(affine.zero_point)
        return self._parameters[affine]

    def integers(self, name: str, array: Array, affine: Affine) -> ir.Value:
        """Return the integers of a constant, which several nodes may read."""
        key = name, affine
        if key not in self._held:
            self._held[key] = self._add(f"{name}_quantized", array)
        return self._held[key]

    def floats(self, name: str, array: Reals) -> ir.Value:
        """Return new content for a constant of float32, which several nodes may read."""
        key = name, None
        if key not in self._held:
            self._held[key] = self._add(name, array)
        return self._held[key]

    def bound(self, name: str, number: np.generic) -> ir.Value:
        """Return one integer, a scalar."""
        return self._add(name, np.asarray(number))

    def _zero_point(self, array: Array) -> ir.Value:
        """Return zero points; those of weights and biases of so many channels are often alike."""
        key = array.dtype, array.tobytes(), array.shape
        if key not in self._zero_points:
            self._zero_points[key] = self._add(f"zero_point_{array.dtype}", array)
        return self._zero_points[key]

    def _add(self, name: str, array: Array) -> ir.Value:
        return add_initializer(self._graph, self._names.fresh(name), array)


def bias_affine(activation: Affine, weight: Affine) -> Affine:
    """Return how a bias becomes an int32 that is added to sums of products: its scale is sx·sw, its zero point 0."""
    product = activation.scale.astype(np.float64) * weight.scale
    scale = np.asarray(np.maximum(product, SMALLEST_SCALE), np.float32)
    return Affine(scale, np.zeros(scale.shape, np.int32), None if weight.axis is None else 0)


def as_row(bias: Array) -> Reals:
    """Return a bias as float32 [channels]; Gemm takes it as [1, channels] too."""
    return np.asarray(bias.reshape(-1), np.float32)
