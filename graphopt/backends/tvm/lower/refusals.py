"""What TVM's ONNX importer gets wrong, found by running ONNX's conformance cases through it.

Each entry makes the operator fall back to onnxruntime; the text is the reason that the report shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

Check = Callable[[ir.Node], str | None]

WRONG: Mapping[str, str] = {}

CHECKS: Mapping[str, Check] = {}


def known_wrong(node: ir.Node) -> str | None:
    """Return why a node must not go through the importer, or None."""
    if node.op_type in WRONG:
        return WRONG[node.op_type]
    check = CHECKS.get(node.op_type)
    return None if check is None else check(node)
