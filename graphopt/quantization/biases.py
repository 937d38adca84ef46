"""The bias of a product, and how a plan calls it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.quantization.affine import Reals
from graphopt.quantization.obstacles import BIAS


def bias_of(node: ir.Node) -> Reals | None:
    """Return the bias of a product, float32 [channels], or None where it has none."""
    bias = constant(node.inputs[BIAS]) if len(node.inputs) > BIAS else None
    return None if bias is None else bias.reshape(-1).astype(np.float32)


def bias_name(node: ir.Node) -> str:
    """Return how a plan calls the bias of a product: as its constant, or as its first output where that is not its own.

    Equal constants are often one: what corrects the bias of one layer must not reach another.
    """
    bias = node.inputs[BIAS] if len(node.inputs) > BIAS else None
    is_own = bias is not None and len(bias.uses()) == 1 and not bias.is_graph_output()
    return str(bias.name if is_own and bias is not None else node.outputs[0].name)
