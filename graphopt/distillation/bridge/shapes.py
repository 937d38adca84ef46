"""What a graph computes about shapes, and changes of type."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
import torch
from torch import Tensor

from graphopt.distillation.bridge.call import INTEGERS, Call, Operator


def shape(call: Call) -> Tensor:
    """Shape, from axis `start` to `end`."""
    end = call.number("end", call[0].ndim)
    return torch.tensor(list(call[0].shape)[call.number("start", 0) : end], dtype=torch.int64)


def size(call: Call) -> Tensor:
    """Size: the number of elements."""
    return torch.tensor(call[0].numel(), dtype=torch.int64)


def constant_of_shape(call: Call) -> Tensor:
    """ConstantOfShape: a value of one element everywhere, 0 by default."""
    given = call.node.attributes.get("value")
    if given is None:
        return torch.zeros(call.listed(0) or [], dtype=call.dtype)
    tensor = given.as_tensor()
    return torch.full(call.listed(0) or [], tensor.numpy().item(), dtype=INTEGERS.get(tensor.dtype, call.dtype))


def range_(call: Call) -> Tensor:
    """Range from a start to a limit, in steps."""
    return torch.arange(call[0].item(), call[1].item(), call[2].item(), dtype=call[0].dtype)


def cast(call: Call) -> Tensor:
    """Cast; all floating-point types are the one that is computed in: rounding to a narrower one is left out."""
    return call[0].to(INTEGERS.get(ir.DataType(call.number("to", 1)), call.dtype))


SHAPES: Mapping[str, Operator] = {
    "Cast": cast,
    "CastLike": lambda call: call[0].to(call[1].dtype),
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
    "Shape": shape,
    "Size": size,
}
