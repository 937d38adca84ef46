"""Where a node comes from: the original nodes and the rewrites behind it, kept in its metadata.

The entry `graphopt.provenance` is JSON, so it survives saving and loading:

    {"from": ["conv1", "bn1"], "by": [["fold-batch-norm", "ConvThenBatchNorm", "y"]]}

A node is named by its name, or by its first output where it has none. A rewrite is its pass, its rule and the
output it happened at. Both lists hold the oldest entries up to a bound; what is beyond is counted in `more`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import onnx_ir as ir

from graphopt.ir.walk import nodes
from graphopt.pipeline.check import output_name

KEY = "graphopt.provenance"
MOST = 32
"""Entries a list; the metadata of a node stays within a few kilobytes whatever is merged into it."""


class Origin(NamedTuple):
    """One rewrite in the past of a node."""

    pass_name: str
    rule: str
    at: str

    def __str__(self) -> str:
        return f"{self.pass_name}/{self.rule} at {self.at!r}"


class Provenance(NamedTuple):
    """The past of a node.

    Attributes:
        sources: the original nodes that went into it.
        rewrites: what made it, in order.
        more: how many of either were dropped.

    """

    sources: tuple[str, ...] = ()
    rewrites: tuple[Origin, ...] = ()
    more: int = 0

    def to_text(self) -> str:
        """Return the compact form that a node's metadata holds."""
        content = {"from": self.sources, "by": self.rewrites} | ({"more": self.more} if self.more else {})
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def provenance(node: ir.Node) -> Provenance | None:
    """Return the past of a node, or None where no rewrite made it (or foreign hands wrote its metadata)."""
    text = node.metadata_props.get(KEY)
    if text is None:
        return None
    try:
        held = json.loads(text)
        return Provenance(
            tuple(map(str, held["from"])),
            tuple(Origin(*map(str, entry)) for entry in held["by"]),
            int(held.get("more", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def merged(matched: Iterable[ir.Node], rewrite: Origin) -> Provenance:
    """Return the past of what `rewrite` makes of the matched nodes; constants are no nodes of interest."""
    sources: dict[str, None] = {}
    rewrites: dict[Origin, None] = {}
    more = 0
    for node in matched:
        past = provenance(node) or Provenance((node.name or output_name(node),))
        sources |= dict.fromkeys(past.sources)
        rewrites |= dict.fromkeys(past.rewrites)
        more += past.more
    rewrites[rewrite] = None
    more += max(0, len(sources) - MOST) + max(0, len(rewrites) - MOST)
    return Provenance(tuple(islice(sources, MOST)), tuple(islice(rewrites, MOST)), more)


def annotate(built: Iterable[ir.Node], past: Provenance) -> None:
    """Write the past of new nodes into them."""
    text = past.to_text()
    for node in built:
        node.metadata_props[KEY] = text


def strip_provenance(model: ir.Model) -> int:
    """Forget the past of all nodes; return of how many."""
    return sum(node.metadata_props.pop(KEY, None) is not None for node in nodes(model))
