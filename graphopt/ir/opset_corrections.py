"""Corrections to the version converter of onnx, where it would change answers.

Held to ONNX's own operator cases and to nodes of old opsets, the converter of onnx 1.23 is wrong in seven places:
- Hardmax: from opset 13 on it works along one axis, before on all axes from there; the converter keeps it;
- Resize and Upsample: before opset 11 a pixel stands at its corner (`asymmetric`, `floor`), from then on at its
  middle unless an attribute says otherwise; the converter says nothing. What the nearest pixel is where an
  image shrinks, opset 10 leaves open;
- Dropout: from opset 12 on the mask is of booleans, and all true where nothing is dropped;
- GroupNormalization: from opset 21 on scale and bias are per channel, not per group;
- Attention: from opset 24 on the products it returns are masked in another way;
- GridSample: on the way down the names of its modes stay those of opset 20;
- Scan of opset 8 has a batch of its own.
The first two are mended here, the others refused.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
import onnx.helper
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.dead import is_unread
from graphopt.ir.walk import is_op

_TWINS = {"Hardmax": "Softmax"}
"""Operators of the same history, the second of which the converter handles well."""


def obstacle(node: ir.Node, current: int, version: int) -> str:
    """Say why a node cannot move between two opsets although the converter would move it, or return ""."""

    def crosses(boundary: int) -> bool:
        return min(current, version) < boundary <= max(current, version)

    if is_op(node, "Scan") and crosses(9):
        return "is a Scan with a batch, which opset 8 alone has"
    if is_op(node, "Dropout") and crosses(12) and len(node.outputs) > 1 and not is_unread(node.outputs[1]):
        return "returns a mask, which opset 12 made true where nothing is dropped"
    if is_op(node, "GroupNormalization") and crosses(21):
        return "scales by group before opset 21 and by channel since"
    if is_op(node, "Attention") and crosses(24) and len(node.outputs) > 3 and node.outputs[3].name:
        return "returns the products of queries and keys, masked in another way since opset 24"
    if (
        is_op(node, "GridSample")
        and crosses(20)
        and version < current
        and node.attributes.get_string("mode", "linear") != "nearest"
    ):
        return "interpolates in a mode that has another name before opset 20"
    if is_op(node, "Resize", "Upsample") and crosses(11):
        return _resizing_obstacle(node, downward=version < current)
    return ""


def _resizing_obstacle(node: ir.Node, *, downward: bool) -> str:
    if downward:
        return "places pixels as no Resize before opset 11 does"
    if node.attributes.get_string("mode", "nearest") != "nearest":
        return ""
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else np.array(node.attributes.get_floats("scales", []))
    if given is None or np.any(np.less(given, 1.0)):
        return "may shrink an image, where the nearest pixel is not defined before opset 11"
    return ""


def stand_in(node: onnx.NodeProto) -> None:
    """Name the operator's twin instead, for the way through the converter."""
    node.op_type = _TWINS.get(node.op_type, node.op_type)


def correct(original: str, nodes: Iterable[onnx.NodeProto], current: int, version: int) -> None:
    """Mend in place what the converter made of a node of the type `original`."""
    for node in nodes:
        if original in _TWINS and node.op_type == _TWINS[original]:
            node.op_type = original
        if node.op_type == "Resize" and current < 11 <= version:
            node.attribute.append(onnx.helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
            node.attribute.append(onnx.helper.make_attribute("nearest_mode", "floor"))
