"""What TVM's ONNX importer gets wrong, found by running ONNX's conformance cases through it.

Each entry makes a node fall back to onnxruntime; its text is the reason that the report shows. An operator that
we lower ourselves never comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx_ir as ir

from graphopt.backends.tvm.lower.types import FLOATS, dtype_of, shape_of
from graphopt.ir.constants import constant

Check = Callable[[ir.Node], str | None]


def known_wrong(node: ir.Node, version: int, converters: tuple[int, ...]) -> str | None:
    """Return why the importer would lower a node of an opset version wrongly, or None.

    `converters` are the versions of the operator that the importer implements.
    """
    reason = _other_signature(node.op_type, version, converters)
    if reason is None and node.op_type in _CHECKS:
        reason = _CHECKS[node.op_type](node)
    return reason


def _other_signature(operator: str, version: int, converters: tuple[int, ...]) -> str | None:
    """Refuse a version older than all that the importer implements, if it had other inputs or attributes."""
    oldest = min(converters)
    if version >= oldest or not onnx.defs.has(operator):
        return None
    older, newer = (onnx.defs.get_schema(operator, number) for number in (version, oldest))
    if older.max_input == newer.max_input and set(older.attributes) <= set(newer.attributes):
        return None
    return f"TVM reads {operator} of opset {version} as if it were of opset {oldest}"


def _always(reason: str) -> Check:
    return lambda _: reason


def _batch_normalization(node: ir.Node) -> str | None:
    if len(node.outputs) > 1 or node.attributes.get_int("training_mode", 0) != 0:
        return "TVM forgets the running statistics of a BatchNormalization in training mode"
    return None


def _is_inf(node: ir.Node) -> str | None:
    signs = (node.attributes.get_int("detect_positive", 1), node.attributes.get_int("detect_negative", 1))
    return None if signs == (1, 1) else "TVM's IsInf detects both signs"


def _division(node: ir.Node) -> str | None:
    """Integer division by 0, and of the smallest number by -1, ends the process: the processor traps it."""
    if dtype_of(node.outputs[0]) in FLOATS:
        return None
    divisor = constant(node.inputs[1])
    safe = divisor is not None and not np.isin(divisor, (0, -1)).any()
    return None if safe else "TVM would not check an integer divisor, which may be 0"


def _mod(node: ir.Node) -> str | None:
    if node.attributes.get_int("fmod", 0) == 0 and dtype_of(node.outputs[0]) in FLOATS:
        return "TVM's Mod of floats makes NaN where the divisor is infinite"
    return _division(node)


def _pad(node: ir.Node) -> str | None:
    """Mirrors reach at most to the other end of the data (ONNX operator spec, Pad-19); TVM reads on beyond it."""
    if node.attributes.get_string("mode", "constant") != "reflect":
        return None
    data = node.inputs[0]
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else np.asarray(node.attributes.get_ints("pads", []))
    if data is None or pads is None or len(node.inputs) > 3:
        return "TVM would not check how far Pad reflects"
    extents = np.tile(shape_of(data), 2)
    fits = pads.shape == extents.shape and bool((np.asarray(pads, np.int64) < extents).all())
    return None if fits else "it reflects more than there is"


def _space_to_depth(node: ir.Node) -> str | None:
    return "TVM ignores the mode of SpaceToDepth" if node.attributes.get_string("mode", "DCR") != "DCR" else None


def _top_k(node: ir.Node) -> str | None:
    dtype = dtype_of(node.outputs[0])
    return f"TVM's TopK does not sort {dtype}" if dtype.startswith("uint") else None


def _resize(node: ir.Node) -> str | None:
    attributes = node.attributes
    if attributes.get_int("antialias", 0) != 0:
        return "TVM's Resize has no antialiasing"
    mode = attributes.get_string("mode", "nearest")
    coordinates = attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if mode == "cubic" and coordinates == "align_corners":
        return "TVM's cubic Resize does not align corners"
    if attributes.get_ints("axes", []):
        return "TVM's Resize ignores axes"
    return _fractional_scales(node)


def _fractional_scales(node: ir.Node) -> str | None:
    """TVM recomputes scales from sizes, which loses what rounding the sizes down cut off."""
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    data = node.inputs[0]
    if scales is None or scales.size == 0 or data is None:
        return None
    sizes = np.asarray(scales, np.float64) * np.asarray(shape_of(data))
    return None if np.allclose(sizes, np.round(sizes), atol=1e-4) else "the scales of Resize lead to fractional sizes"


_UNCHECKED = _always("TVM would not check its indices, and reach beyond the data")

_CHECKS: Mapping[str, Check] = {
    "BatchNormalization": _batch_normalization,
    "BitShift": _always("TVM leaves shifts by the width of the type or more undefined"),
    "Div": _division,
    "Hardmax": _always("TVM's Hardmax takes a number beside a NaN for the largest"),
    "IsInf": _is_inf,
    "MaxUnpool": _UNCHECKED,
    "Mod": _mod,
    "Pad": _pad,
    "Resize": _resize,
    "RoiAlign": _UNCHECKED,
    "Scatter": _UNCHECKED,
    "ScatterElements": _UNCHECKED,
    "ScatterND": _UNCHECKED,
    "SpaceToDepth": _space_to_depth,
    "TopK": _top_k,
    "Upsample": _resize,
}
