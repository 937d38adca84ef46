"""`graphopt.diff`: what differs between two models."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.inspect.diff.compare import compare
from graphopt.inspect.diff.record import Diff
from graphopt.ir.load import Source, load
from graphopt.rewrite.provenance import provenance


def diff(before: Source, after: Source) -> Diff:
    """Say what was removed, added, rewired and re-weighted between two models; false where they are equal.

    Nodes are matched by structure: by what they compute from the inputs, by what is done with it, by the weights they
    hold, by their neighbours. Names decide between equals alone, and other names are no difference. Nor are the
    order of nodes, that of the operands of commutative operators (Add, Mul, Max, …), an attribute that is spelled out
    at its default, a Constant node in the place of an initializer, metadata, and what is declared of inner values.
    A model of opset 1 to 6 is taken as it is in opset 7.

    Raises:
        ModelError: one of them cannot be read, or is not valid.

    """
    return compare(load(before), load(after), _rewrites)


def _rewrites(node: ir.Node) -> tuple[str, ...]:
    """Return the passes and rules in the past of a node, each once."""
    past = provenance(node)
    return () if past is None else tuple(dict.fromkeys(f"{one.pass_name}/{one.rule}" for one in past.rewrites))
