"""Functions that onnxruntime computes on real numbers alone, computed on the integers by the operator itself.

    DequantizeLinear ─ Clip(a, b) ─ QuantizeLinear   →   Clip(Q(a), Q(b))     Relu is Clip(0, ∞)
    DequantizeLinear ─ Pad(0) ───── QuantizeLinear   →   Pad(z)

where both ends count alike: rounding is monotonic, and zero has the integer z. Clip-12 and Pad-11 take integers of
eight bits.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dead import erase, erase_unread
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Affine
from graphopt.quantization.doctor.clamps import sole_reader
from graphopt.quantization.doctor.quantizers import is_dequantize, is_quantize, parameters
from graphopt.quantization.obstacles import clamp_of

_CLIP_SINCE, _PAD_SINCE = 12, 11


def compute_on_integers(model: ir.Model) -> int:
    """Rewrite every Relu, Clip and Pad of zeros between equal parameters; return how many."""
    names, opset = Names(model), model.opset_imports.get("", 0)
    return sum(_rewrite(node, model.graph, names, opset) for node in tuple(model.graph))


def _rewrite(node: ir.Node, graph: ir.Graph, names: Names, opset: int) -> bool:
    read = node.inputs[0] if node.inputs else None
    dequantize = read.producer() if read is not None else None
    quantize = sole_reader(node.outputs[0]) if node.outputs else None
    if dequantize is None or quantize is None or not (is_dequantize(dequantize) and is_quantize(quantize)):
        return False
    affine = parameters(dequantize)
    if affine is None or affine.axis is not None or affine != parameters(quantize) or affine.dtype.itemsize != 1:
        return False
    made = _on_integers(node, dequantize.inputs[0], affine, graph, names, opset)
    if made is None:
        return False
    made.outputs[0].type, made.outputs[0].shape = quantize.outputs[0].type, quantize.outputs[0].shape
    node.prepend(made)
    name, quantize.outputs[0].name = quantize.outputs[0].name, None
    made.outputs[0].name = name
    quantize.outputs[0].replace_all_uses_with(made.outputs[0], replace_graph_outputs=True)
    erase_unread([*erase(quantize), *node.outputs])
    return True


def _on_integers(
    node: ir.Node, integers: ir.Value | None, affine: Affine, graph: ir.Graph, names: Names, opset: int
) -> ir.Node | None:
    bounds = clamp_of(node)
    if bounds is not None and opset >= _CLIP_SINCE:
        ends = affine.quantize(np.array(bounds, np.float32))
        held = [add_initializer(graph, names.fresh(f"{node.outputs[0].name}_bound"), np.asarray(end)) for end in ends]
        return ir.node("Clip", [integers, *held], name=node.name)
    if pads_zeros(node) and opset >= _PAD_SINCE:
        zero = add_initializer(graph, names.fresh(f"{node.outputs[0].name}_zero"), affine.zero_point)
        inputs = [integers, node.inputs[1], zero, *node.inputs[3:]]
        return ir.Node("", "Pad", inputs, node.attributes.values(), num_outputs=1, name=node.name)
    return None


def pads_zeros(node: ir.Node) -> bool:
    """Whether a node is a Pad that writes zeros (Pad-11; before, sizes and number are attributes)."""
    if not is_op(node, "Pad") or node.attributes.get_string("mode", "constant") != "constant" or len(node.inputs) < 2:
        return False
    written = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant(written)
    return written is None or (array is not None and not array.any())
