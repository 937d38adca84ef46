"""`graphopt.diff`: what differs between two models."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from graphopt.inspect.diff.compare import Compared, compare
from graphopt.inspect.diff.record import Diff
from graphopt.ir.load import Source, load
from graphopt.report.comparison import comparison
from graphopt.report.document import View
from graphopt.report.view import title_of
from graphopt.rewrite.provenance import provenance


@dataclass(frozen=True)
class Comparison:
    """Two models, read and compared once, whatever is told of it.

    Attributes:
        before, after: the models.
        compared: what differs, and what is the same.
        title: the names of their files.

    """

    before: ir.Model
    after: ir.Model
    compared: Compared
    title: str

    @staticmethod
    def of(before: Source, after: Source) -> Comparison:
        """Read two models and compare them, as `diff` does."""
        one, other = load(before), load(after)
        title = " → ".join(filter(None, map(title_of, (before, after))))
        return Comparison(one, other, compare(one, other, _rewrites), title)

    def page(self) -> View:
        """Return both graphs as a page."""
        return comparison(self.before, self.after, self.compared.pairs, self.title)


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
    return Comparison.of(before, after).compared.diff


def _rewrites(node: ir.Node) -> tuple[str, ...]:
    """Return the passes and rules in the past of a node, each once."""
    past = provenance(node)
    return () if past is None else tuple(dict.fromkeys(f"{one.pass_name}/{one.rule}" for one in past.rewrites))
