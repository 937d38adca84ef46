"""How many windows of a convolution fit into a size that is a symbol, asked once for each symbol and geometry.

The symbolic engine goes through four expressions for each axis and prints each of them, though most convolutions
keep the size they are given, and a network has a handful of geometries. Static sizes, automatic padding and whatever
is wrong with a node are the engine's.
"""

from __future__ import annotations

from functools import lru_cache

import onnx_ir as ir
from onnx_shape_inference import ShapeInferenceContext

from graphopt.ir.shape_memo import Infer

Dim = int | ir.SymbolicDim


def infer_convolution(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    """Y[n, m, …] = Conv(X[n, c, …], W[m, c / group, …]) (ONNX operator spec, Conv-11)."""
    x, w = node.inputs[:2]
    windows = None if x is None or w is None else _windows(node, x.shape, w.shape)
    if x is None or w is None or x.shape is None or w.shape is None or windows is None:
        original(ctx, node)
    else:
        ctx.set_shape_and_dtype(node.outputs[0], ir.Shape([x.shape[0], w.shape[0], *windows]), x.dtype)


def _windows(node: ir.Node, x: ir.Shape | None, w: ir.Shape | None) -> list[Dim] | None:
    """Return the sizes of the output's spatial axes, or None where the question is not a simple one."""
    if x is None or w is None or len(x) < 3 or len(w) != len(x) or x.is_static():
        return None
    rank = len(x) - 2
    kernel = node.attributes.get_ints("kernel_shape", [dim for dim in w[2:] if isinstance(dim, int)])
    strides = node.attributes.get_ints("strides", [1] * rank)
    dilations = node.attributes.get_ints("dilations", [1] * rank)
    pads = node.attributes.get_ints("pads", [0] * (2 * rank))
    geometry = (kernel, strides, dilations, pads[:rank], pads[rank:])
    if any(len(part) != rank for part in geometry) or min(*strides, *dilations) < 1:
        return None
    if node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return None
    return [
        count(size, (k - 1) * dilation + 1 - begin - end, stride)
        for size, k, stride, dilation, begin, end in zip(x[2:], *geometry, strict=True)
    ]


def count(size: Dim, reach: int, stride: int) -> Dim:
    """Return ⌊(size - reach) / stride⌋ + 1, where `reach` is the extent of a window less the padding."""
    if isinstance(size, int):
        return (size - reach) // stride + 1
    if stride == 1 and reach == 1:
        return size
    return size if size.value is None else _count(size.value, reach, stride)


@lru_cache(maxsize=1 << 12)
def _count(size: str, reach: int, stride: int) -> ir.SymbolicDim:
    return (ir.SymbolicDim(size) - reach) // stride + 1
