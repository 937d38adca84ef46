"""QuantizeLinear and DequantizeLinear as fake quantization with straight-through gradients.

Integers are floating-point numbers that hold whole values here. Rounding passes gradients as if it were not there,
cutting off at the limits passes none (Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877).
"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from graphopt.distillation.bridge.call import Call
from graphopt.quantization.affine import limits_of


def quantize(call: Call) -> Tensor:
    """QuantizeLinear (ONNX operator spec, QuantizeLinear-21)."""
    x = call[0]
    scale, zero_point = scales(call.node, call[1], call.get(2), x)
    least, greatest = limits_of(_integers(call.node).numpy())
    return torch.clamp(rounded(x / scale) + zero_point, least, greatest)


def dequantize(call: Call) -> Tensor:
    """DequantizeLinear (ONNX operator spec, DequantizeLinear-21)."""
    scale, zero_point = scales(call.node, call[1], call.get(2), call[0])
    return (call[0].to(call.dtype) - zero_point) * scale


def rounded(x: Tensor) -> Tensor:
    """Round half to even; the gradient goes straight through."""
    return x + (torch.round(x) - x).detach()


def scales(node: ir.Node, scale: Tensor, zero_point: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and zero point in a shape that broadcasts to x: of all of it, of channels, or of blocks."""
    zeros = torch.zeros_like(scale) if zero_point is None else zero_point.to(scale.dtype)
    axis = node.attributes.get_int("axis", 1)
    block = node.attributes.get_int("block_size", 0)
    return _spread(scale, x, axis, block), _spread(zeros, x, axis, block)


def _spread(vector: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    if block:
        return vector.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    if vector.numel() == 1:
        return vector.reshape(())
    return vector.reshape([-1 if index == axis % x.ndim else 1 for index in range(x.ndim)])


def _integers(node: ir.Node) -> ir.DataType:
    """Return the type that a QuantizeLinear makes: its zero point's, what it says itself, or uint8."""
    zero_point = node.inputs[2] if len(node.inputs) > 2 else None
    if zero_point is not None and zero_point.dtype is not None:
        return zero_point.dtype
    return ir.DataType(node.attributes.get_int("output_dtype", 0) or ir.DataType.UINT8)


def refuse_quantization(node: ir.Node) -> str | None:
    """Return what is no integer: float8 has no limits of this kind."""
    source = node.inputs[0]
    kind = _integers(node) if node.op_type == "QuantizeLinear" or source is None else source.dtype
    return f"with {kind.name.lower()}" if kind is not None and kind.is_floating_point() else None
