"""inline-functions: put the bodies of model-local functions where they are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from typing import ClassVar

import onnx
import onnx_ir as ir

from graphopt.ir.copying import Copier
from graphopt.ir.dead import erase, erase_uncalled, erase_unread, is_unread
from graphopt.ir.edit import Names, replace_value
from graphopt.ir.fused import DOMAIN as FUSED
from graphopt.ir.walk import STANDARD_DOMAINS, nodes_within, subgraphs
from graphopt.pipeline.base import Pass
from graphopt.pipeline.check import output_name
from graphopt.pipeline.context import Context
from graphopt.rewrite.provenance import Origin, annotate, merged


@dataclass(frozen=True)
class InlineFunctions(Pass):
    """Put the bodies of model-local functions where they are called, and drop functions that nobody calls.

    What a call leaves out, an attribute or an input, is left out of the body too, unless the function has a
    default (ONNX IR spec, Functions). Calls are expanded from the outside in, so that an attribute that one
    function hands to another is known when its default is decided on. Functions of the domains in `keep`
    stay functions; the calls in them are inlined.

    Attributes:
        keep: domains whose functions stay; `graphopt.fused` is for what a backend runs as one kernel.
        max_nodes: a call that would be more nodes than this stays one: functions that call each other twice
            double with each level.

    """

    name: ClassVar[str] = "inline-functions"

    keep: tuple[str, ...] = (FUSED,)
    max_nodes: int = 100_000

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Go through the main graph, then through what is still a function."""
        if not model.functions:
            return 0
        inliner = _Inliner(model, self, ctx)
        changes = inliner.expand(model.graph, model.opset_imports)
        changes += erase_uncalled(model)
        for function in model.functions.values():
            changes += inliner.expand(function.graph, function.opset_imports)
        return changes + erase_uncalled(model)


class _Inliner:
    """Expands calls, in any graph of one model."""

    def __init__(self, model: ir.Model, options: InlineFunctions, ctx: Context) -> None:
        self._functions = model.functions
        self._names = Names(model)
        self._options = options
        self._ctx = ctx
        self._sizes = _expanded_sizes(model.functions)

    def expand(self, graph: ir.Graph, imports: dict[str, int]) -> int:
        """Expand the calls in a graph, those in the bodies that this brings, and those in its subgraphs."""
        changes = 0
        pending = list(reversed(graph))
        while pending:
            node = pending.pop()
            function = self._functions.get(node.op_identifier())
            if function is None or function.domain in self._options.keep:
                changes += sum(self.expand(subgraph, imports) for subgraph in subgraphs(node))
            elif why := self._too_large(function) or _refusal(node, function, imports, self._functions):
                self._ctx.missed(node, why)
            else:
                pending += reversed(self._inline(node, function))
                for domain, version in function.opset_imports.items():
                    imports.setdefault(domain, version)
                changes += 1
        return changes

    def _too_large(self, function: ir.Function) -> str | None:
        size, most = self._sizes[function.identifier()], self._options.max_nodes
        return f"it would become {size} nodes, more than max-nodes={most}" if size > most else None

    def _inline(self, call: ir.Node, function: ir.Function) -> list[ir.Node]:
        """Replace a call by the function's nodes; return those of them that something reads."""
        self._ctx.applied(call, f"inlined, {len(function)} nodes")
        absent = [None] * (len(function.inputs) - len(call.inputs))
        copier = Copier(
            self._names,
            dict(zip(function.inputs, (*call.inputs, *absent), strict=True)),
            _arguments(call, function),
            prefix=f"{call.name or output_name(call)}/",
            keep_symbols=False,  # the names of a function's dimensions are its own
        )
        body = copier.nodes(function.graph)
        annotate(body, merged((call,), Origin(InlineFunctions.name, function.name, output_name(call))))
        self._ctx.derived(body, [call])
        call.prepend(body)
        results = [copier.output(value) for value in function.outputs[: len(call.outputs)]]
        for output, result in zip(call.outputs, results, strict=True):
            if not is_unread(output):
                replace_value(output, result)
        erase(call)
        erase_unread(value for node in body for value in node.outputs)
        return [node for node in body if node.graph is not None]


def _expanded_sizes(functions: Mapping[ir.OperatorIdentifier, ir.Function]) -> dict[ir.OperatorIdentifier, int]:
    """Count the nodes of each function with all calls in it expanded."""
    bodies = {key: [node.op_identifier() for node in nodes_within(each)] for key, each in functions.items()}
    sizes: dict[ir.OperatorIdentifier, int] = {}
    for key in TopologicalSorter(bodies).static_order():
        if key in bodies:
            sizes[key] = sum(sizes.get(called, 1) for called in bodies[key])
    return sizes


def _arguments(call: ir.Node, function: ir.Function) -> Mapping[str, ir.Attr]:
    defaults = {name: attribute for name, attribute in function.attributes.items() if attribute.value is not None}
    return defaults | dict(call.attributes)


def _refusal(
    call: ir.Node,
    function: ir.Function,
    imports: Mapping[str, int],
    functions: Mapping[ir.OperatorIdentifier, ir.Function],
) -> str | None:
    """Return why a call must stay a call, or None."""
    for attribute in call.attributes.values():
        default = function.attributes.get(attribute.name)
        if attribute.is_ref() and default is not None and default.value is not None:
            return f"whether the default of attribute {attribute.name!r} holds is known only to the caller's caller"
    inputs = dict(zip(function.inputs, call.inputs, strict=False))
    for output, result in zip(call.outputs, function.outputs, strict=False):
        if result in function.inputs and inputs.get(result) is None and not is_unread(output):
            return f"its output {output.name!r} is an input that is absent"
    return next(_changed_operators(function, imports, functions), None)


def _changed_operators(
    function: ir.Function, imports: Mapping[str, int], functions: Mapping[ir.OperatorIdentifier, ir.Function]
) -> Iterator[str]:
    """Yield a sentence for each operator of a body that means something else in the graph around the call."""
    changed = {domain for domain, version in function.opset_imports.items() if imports.get(domain, version) != version}
    for node in nodes_within(function) if changed else ():
        domain = "" if node.domain in STANDARD_DOMAINS else node.domain
        if domain not in changed or node.op_identifier() in functions:
            continue
        own, other = function.opset_imports[domain], imports[domain]
        since = _since(node.op_type, domain, own)
        if since is None or since != _since(node.op_type, domain, other):
            named = domain or "ai.onnx"
            yield f"its {node.op_type} is of opset {own} of {named}, and opset {other} may define it otherwise"


@cache
def _since(op_type: str, domain: str, version: int) -> int | None:
    """Return the opset that an operator has been defined by, in force at `version`."""
    try:
        since: int = onnx.defs.get_schema(op_type, version, domain).since_version
    except onnx.defs.SchemaError:
        return None
    return since
