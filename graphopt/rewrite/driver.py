"""Applying rules until none matches: a worklist over all scopes, in time linear in the nodes."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.ir.dead import erase_unread, is_unread
from graphopt.ir.edit import Names
from graphopt.ir.walk import is_op, label, nested
from graphopt.pipeline.base import Pass
from graphopt.pipeline.check import Rewrite
from graphopt.pipeline.context import Context
from graphopt.pipeline.limit import Step
from graphopt.rewrite.builder import Builder, Refused
from graphopt.rewrite.commit import commit, is_source
from graphopt.rewrite.index import RuleIndex, StagedRules, staged
from graphopt.rewrite.matcher import Match, find
from graphopt.rewrite.provenance import Origin, annotate, merged
from graphopt.rewrite.rule import Rule

REWRITES_PER_NODE = 16
"""More rewrites than this, for each node there was, mean that rules undo each other."""

WIDEST_MATCH = 16
"""A value with more readers than this is never the inside of a match, so its readers need not be told."""


@dataclass(frozen=True)
class RewritePass(Pass):
    """A pass that is a set of rules; a subclass lists them, those that should win first.

    Attributes:
        skip: matches to leave alone, by the name of an output of their root.

    """

    counts_rewrites: ClassVar[bool] = True
    skip: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def rules(self) -> Sequence[Rule]:
        """Return the rules."""

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Apply the rules wherever they match."""
        return apply_rules(model, _rules_of(self), ctx, skip=self.skip)


@cache
def _rules_of(step: RewritePass) -> tuple[Rule, ...]:
    return tuple(step.rules())


def apply_rules(model: ir.Model, rules: Sequence[Rule], ctx: Context, *, skip: Collection[str] = ()) -> int:
    """Rewrite `model` in place until no rule matches; return the number of rewrites.

    Matches whose root has an output named in `skip` stay.

    Nodes are visited in order; a rewrite brings back the nodes that it may have given a new chance. What
    was refused, and still stands at the end, is remarked as missed.

    Raises:
        RuntimeError: the rules do not terminate.

    """
    return _Rewriting(model, staged(tuple(rules)), ctx, frozenset(skip)).run()


class _Scope(NamedTuple):
    """What a rewrite must know of the graph it happens in."""

    opset: int
    in_function: bool


@dataclass
class _Stage:
    """The rules that go first together, and the nodes they have yet to see."""

    rules: RuleIndex
    queue: deque[ir.Node] = field(default_factory=deque)
    queued: set[ir.Node] = field(default_factory=set)
    missed: dict[ir.Node, list[str]] = field(default_factory=dict)

    def push(self, node: ir.Node) -> None:
        if node.op_type in self.rules and node not in self.queued and is_op(node, node.op_type):
            self.queued.add(node)
            self.queue.append(node)

    def pop(self) -> ir.Node:
        node = self.queue.popleft()
        self.queued.discard(node)
        return node


class _Rewriting:
    """One application of rules to one model."""

    def __init__(self, model: ir.Model, rules: StagedRules, ctx: Context, skip: frozenset[str]) -> None:
        self._model = model
        self._skip = skip
        self._ctx = ctx
        self._stages = [_Stage(index) for index in rules.stages]
        self._reach = rules.reach
        self._sources: dict[ir.Value, None] = {}  # constants that may be unread in the end
        self._scopes: dict[ir.Graph, _Scope] = {}
        self._enter(model.graph, in_function=False)
        for function in model.functions.values():
            self._enter(function.graph, in_function=True)
        self._budget = REWRITES_PER_NODE * (1 + sum(len(graph) for graph in self._scopes))

    @cached_property
    def _names(self) -> Names:
        return Names(self._model)

    def run(self) -> int:
        count = 0
        limit = self._ctx.limit
        while not limit.reached and (stage := next((stage for stage in self._stages if stage.queue), None)):
            node = stage.pop()
            if node.graph is not None and self._visit(node, node.graph, stage):
                count += 1
                if count > self._budget:
                    raise RuntimeError(f"the rules still rewrite {label(node)} after {count} rewrites")
        erase_unread(self._sources)
        self._report_missed()
        return count

    def _report_missed(self) -> None:
        for stage in self._stages:
            for node, reasons in stage.missed.items():
                for reason in reasons if node.graph is not None else ():
                    self._ctx.missed(node, reason)

    def _enter(self, root: ir.Graph, *, in_function: bool) -> None:
        scope = _Scope(root.opset_imports.get("", 0), in_function)
        for graph in (root, *nested(root)):
            self._scopes[graph] = scope
            for node in graph:
                self._enqueue(node)

    def _enqueue(self, node: ir.Node) -> None:
        for stage in self._stages:
            stage.push(node)

    def _visit(self, node: ir.Node, graph: ir.Graph, stage: _Stage) -> bool:
        """Try the rules of a node; return whether one was applied."""
        opset = self._scopes[graph].opset
        reasons = stage.missed[node] = []
        for rule in stage.rules.candidates(node):
            found = find(rule.pattern, node, opset) if opset in rule.opsets else None
            reason = self._apply(rule, found, graph) if isinstance(found, Match) else found
            if isinstance(found, Match) and reason is None:
                return True
            if reason is not None:
                reasons.append(reason)
        return False

    def _apply(self, rule: Rule, match: Match, graph: ir.Graph) -> str | None:
        """Rewrite a match; return why not, or None when it is done."""
        build = Builder(match.root, self._names, in_function=self._scopes[graph].in_function)
        try:
            # What arithmetic overflows here is found, and refused, when it becomes a constant.
            with np.errstate(all="ignore"):
                replacements = _replacements(rule, match, build)
            rewrite = _rewrite(self._ctx.pass_name, rule, match, build, replacements)
            self._permit(rewrite)
        except Refused as refusal:
            build.discard()
            return str(refusal)
        self._record(rewrite, match, build)
        readers = [use.node for old in match.root.outputs for use in old.uses()]
        for value in commit(match, graph, build, replacements):
            if is_source(value):
                self._sources[value] = None
            else:
                readers.extend(_few_readers(value))
        self._wake([*build.nodes, *readers])
        return None

    def _permit(self, rewrite: Rewrite) -> None:
        """Let the pipeline's text and its check have their word; raises Refused."""
        if not self._skip.isdisjoint(rewrite.results):
            raise Refused("the pipeline skips it")
        reason = self._ctx.check.refuse(rewrite)
        if reason is not None:
            raise Refused(reason)

    def _record(self, rewrite: Rewrite, match: Match, build: Builder) -> None:
        self._ctx.applied(match.root, _describe(match, build))
        self._ctx.limit.count(Step(rewrite.pass_name, rewrite.rule, rewrite.at, label(match.root)))
        origin = Origin(rewrite.pass_name, rewrite.rule, rewrite.at)
        annotate(build.nodes, merged(reversed(match.nodes), origin))
        self._ctx.derived(build.nodes, match.nodes)

    def _wake(self, nodes: Iterable[ir.Node]) -> None:
        """Visit again the nodes that a rewrite touched, and the roots within reach below them."""
        front = {node: None for node in nodes if node.graph is not None}
        for _ in range(self._reach):
            for node in front:
                self._enqueue(node)
            front = {reader: None for node in front for value in node.outputs for reader in _few_readers(value)}


def _few_readers(value: ir.Value) -> Sequence[ir.Node]:
    readers = value.consumers()
    return readers if len(readers) <= WIDEST_MATCH else ()


def _replacements(rule: Rule, match: Match, build: Builder) -> Sequence[ir.Value]:
    reason = rule.refuse(match)
    if reason is not None:
        raise Refused(reason)
    result = rule.replace(match, build)
    replacements = [result] if isinstance(result, ir.Value) else result
    for old in match.root.outputs[len(replacements) :]:
        if not is_unread(old):
            raise Refused(f"its output {old.name!r} is read too")
    for old, new in zip(match.root.outputs, replacements, strict=False):
        if is_op(match.root, "Identity") and old.is_graph_output() and new is match.root.inputs[0]:
            raise Refused(f"it gives {new.name!r} the name of the graph's output {old.name!r}")
    return replacements


def _rewrite(pass_name: str, rule: Rule, match: Match, build: Builder, replacements: Sequence[ir.Value]) -> Rewrite:
    pairs = zip(match.root.outputs, replacements, strict=False)
    results = {old.name: (old, new) for old, new in pairs if old.name}
    return Rewrite(pass_name, type(rule).__name__, match.nodes, tuple(build.nodes), results, match.opset)


def _describe(match: Match, build: Builder) -> str:
    before = " + ".join(node.op_type for node in reversed(match.nodes))
    after = " + ".join(node.op_type for node in build.nodes if not is_op(node, "Constant"))
    return f"{before} -> {after or 'a value that is there'}"
