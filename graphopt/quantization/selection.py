"""Which nodes of a model compute in integers, and which values become some."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field

import onnx_ir as ir

from graphopt.ir.walk import label
from graphopt.quantization.epilogue import epilogue_of
from graphopt.quantization.forms import Form
from graphopt.quantization.obstacles import activations, clamp_of, obstacle
from graphopt.quantization.scheme import Scheme

SPARED = "spared, since in integers it costs the answers too much"
FUSED = "it works on sums of products before these become integers"
WAITING = "what it reads is no integer there, or nothing takes its integers"


@dataclass
class Selection:
    """Nodes and values of one model, in the order of its graph.

    Attributes:
        nodes: all that compute in integers, and the clamps that they absorb.
        products: those of them with a constant weight.
        moves: those whose inputs and outputs share parameters.
        values: activations that become integers.
        clamps: between which numbers an absorbed Relu or Clip leaves a value.
        refusals: why another node stays as it is, by its label.

    """

    nodes: list[ir.Node] = field(default_factory=list)
    products: list[ir.Node] = field(default_factory=list)
    moves: list[ir.Node] = field(default_factory=list)
    values: list[ir.Value] = field(default_factory=list)
    clamps: dict[ir.Value, tuple[float, float]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> list[ir.Value]:
        """Return the values whose ranges have to be known: those that are not moved from elsewhere."""
        moved = {output for node in self.moves for output in node.outputs}
        return [value for value in self.values if value not in moved]


def select(model: ir.Model, scheme: Scheme, spared: Collection[str] = ()) -> Selection:
    """Choose the nodes of the main graph that compute in integers under a scheme.

    Products do. A pair or a map does where all that it reads is integers anyway, and something takes its own. A move
    does where integers come in, and where integers are asked for behind it: it carries them at no loss. Only tensors
    of float32 are touched, and types that nobody inferred are none; subgraphs stay as they are. So do the nodes that
    are spared, by the names of their first outputs.
    """
    form = scheme.facts
    refusals: dict[str, str] = {}
    candidates: list[ir.Node] = []
    for node in model.graph:
        reason = SPARED if node.outputs and node.outputs[0].name in spared else obstacle(node, form)
        if reason is None:
            candidates.append(node)
        elif node.op_type != "Constant":
            refusals[label(node)] = reason
    products = [node for node in candidates if node.op_type in form.products]
    if scheme.weights_only:
        chosen = set(products)
        values: set[ir.Value] = set()
    else:
        chosen = _wanted(_reached(candidates, products, form), form)
        values = _integers(chosen, form)
    refusals |= {label(node): WAITING for node in candidates}
    if form.epilogues:
        refusals |= {label(node): FUSED for product in chosen for node in _epilogue(product, form)}
    return _ordered(model.graph, form, chosen, values, refusals)


def result_of(node: ir.Node, form: Form) -> ir.Value:
    """Return the first output of a node, behind what it computes too: an epilogue, or the clamp that alone reads it."""
    if epilogue := _epilogue(node, form):
        return epilogue[-1].outputs[0]
    clamp = None if node.op_type in form.moves else absorbed_by(node)
    return node.outputs[0] if clamp is None else clamp.outputs[0]


def _epilogue(node: ir.Node, form: Form) -> list[ir.Node]:
    return epilogue_of(node) if form.epilogues and node.op_type in form.products else []


def absorbed_by(node: ir.Node) -> ir.Node | None:
    """Return the Relu or Clip that alone reads the first output of a node, in the same graph, or None."""
    value = node.outputs[0]
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    reader, index = uses[0]
    return reader if index == 0 and reader.graph is node.graph and clamp_of(reader) is not None else None


def _reached(candidates: Iterable[ir.Node], products: Iterable[ir.Node], form: Form) -> set[ir.Node]:
    """Return the nodes that integers reach, from products on and, by moves, back from what products read."""
    chosen = set(products)
    integers = {value for node in chosen for _, value in activations(node)}
    made = {result_of(node, form) for node in chosen}
    waiting = [node for node in candidates if node not in chosen]
    while True:
        taken = [node for node in waiting if _is_reached(node, integers | made, integers, made, form)]
        if not taken:
            return chosen
        for node in taken:
            if node.op_type in form.moves:
                integers.update(value for _, value in activations(node))
                made.update(node.outputs)
            else:
                made.add(result_of(node, form))
        chosen.update(taken)
        waiting = [node for node in waiting if node not in chosen]


def _is_reached(node: ir.Node, known: set[ir.Value], integers: set[ir.Value], made: set[ir.Value], form: Form) -> bool:
    inputs = [value for _, value in activations(node)]
    if node.op_type not in form.moves:
        return all(value in known for value in inputs)
    outputs = [value for value in node.outputs if value.name]
    return all(value in made for value in inputs) or all(value in integers for value in outputs)


def _wanted(chosen: set[ir.Node], form: Form) -> set[ir.Node]:
    """Drop the pairs and maps whose integers nothing takes: what they make would be rounded for nothing."""
    while True:
        idle = {
            node
            for node in chosen
            if node.op_type in form.pairs | form.maps and not _is_taken(result_of(node, form), chosen, form)
        }
        if not idle:
            return chosen
        chosen = chosen - idle


def _is_taken(value: ir.Value, chosen: set[ir.Node], form: Form) -> bool:
    pending, seen = [value], {value}
    while pending:
        for reader in pending.pop().consumers():
            if reader in chosen and reader.op_type not in form.moves:
                return True
            if reader in chosen:
                pending.extend(output for output in reader.outputs if output not in seen)
                seen.update(reader.outputs)
    return False


def _integers(chosen: set[ir.Node], form: Form) -> set[ir.Value]:
    """Return what the chosen nodes read, and what they make unless it may stay float32 and none of them reads it."""
    values = {value for node in chosen for _, value in activations(node)}
    for node in chosen:
        if node.op_type in form.moves:
            values.update(value for value in node.outputs if value.name)
        elif node.op_type not in form.float_results:
            values.add(result_of(node, form))
    if form.residual_only:
        functions = {last for node in chosen for last in _epilogue(node, form)[-1:]}
        pairs = (node for node in chosen if node.op_type in form.pairs)
        values -= {value for node in pairs for value in _accumulated(node, form, functions)}
    return values


def _accumulated(pair: ir.Node, form: Form, functions: Container[ir.Node]) -> list[ir.Value]:
    """Return the operand of a sum that is still in an accumulator: what a product made last, for this sum alone."""
    made = {
        producer: value
        for _, value in activations(pair)
        if (producer := value.producer()) is not None
        and (producer.op_type in form.products or producer in functions)
        and len(value.uses()) == 1
        and not value.is_graph_output()
    }
    latest = next((node for node in reversed(list(pair.graph or ())) if node in made), None)
    return [] if latest is None else [made[latest]]


def _ordered(
    graph: ir.Graph, form: Form, chosen: set[ir.Node], values: set[ir.Value], refusals: dict[str, str]
) -> Selection:
    """Put all in the order of the graph, and take in the clamps that are absorbed."""
    clamps = {absorbed_by(node) for node in chosen if node.op_type not in form.moves} - chosen
    clamps = {node for node in clamps if node is not None and node.outputs[0] in values}
    found = Selection(values=[value for value in graph.inputs if value in values])
    for node in graph:
        found.values.extend(value for value in node.outputs if value in values)
        if node in clamps and (bounds := clamp_of(node)):
            found.clamps[node.outputs[0]] = bounds
        if node in chosen or node in clamps:
            found.nodes.append(node)
        elif label(node) in refusals:
            found.refusals[label(node)] = refusals[label(node)]
        if node in chosen and node.op_type in form.products:
            found.products.append(node)
        if node in chosen and node.op_type in form.moves:
            found.moves.append(node)
    return found
