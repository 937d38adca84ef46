"""Products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from graphopt.distillation.bridge.call import Call


def gemm(call: Call) -> Tensor:
    """Y = α·A·B + β·C (ONNX operator spec, Gemm-13)."""
    a = call[0].T if call.number("transA", 0) else call[0]
    b = call[1].T if call.number("transB", 0) else call[1]
    product = call.real("alpha", 1.0) * (a @ b)
    return product if call.get(2) is None else product + call.real("beta", 1.0) * call[2]


def matmul(call: Call) -> Tensor:
    """MatMul, as numpy's."""
    return call[0] @ call[1]


def einsum(call: Call) -> Tensor:
    """Einsum, as numpy's."""
    return torch.einsum(call.text("equation", ""), *call.present)
