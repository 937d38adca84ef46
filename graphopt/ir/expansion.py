"""Nodes that make a weight of what a file holds in its place: constants packed tighter than the weight.

They say so themselves, so that folding them back never counts as growth: the weight was one before.
"""

from __future__ import annotations

import onnx_ir as ir

KEY = "graphopt.expands"
"""In the metadata of a node, with the name of the weight."""


def mark_expansion(node: ir.Node, weight: str) -> None:
    """Note that a node helps to make a weight."""
    node.metadata_props[KEY] = weight


def is_expansion(node: ir.Node) -> bool:
    """Whether a node helps to make a weight."""
    return KEY in node.metadata_props
