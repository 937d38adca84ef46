"""The proof: what every value is to the batch, from the inputs to the outputs.

A batch may be cut in two and the answers concatenated where each row of each output follows from one sample. That
is shown by induction over the graph. A value is one row a sample (`Kind.SAMPLES`), or the same for every batch, or
depends on its size alone, or is mixed, with the reason; rules say of an operator whether its result is samples
again, and inferred shapes whether the batch is its leading axis still. What no rule knows is mixed. So is what
answers otherwise in each run, since a batch that is cut runs it more often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.batchwise.rules import rule_of
from graphopt.ir.batchwise.site import Kind, Site
from graphopt.ir.constants import is_constant
from graphopt.ir.fused import inline_kernels
from graphopt.ir.shape_memo import MINTED
from graphopt.ir.shapes import SYMBOL, infer_shapes
from graphopt.ir.traits import is_random, is_standard
from graphopt.ir.walk import is_op, label, nodes, nodes_within, reads, subgraphs


@dataclass(frozen=True)
class Batchwise:
    """What the proof found.

    Attributes:
        inputs: the names of those that carry the batch, where each output has one row a sample; empty otherwise.
        obstacle: why not, in words; empty also where no input has a free leading dimension.

    """

    inputs: tuple[str, ...] = ()
    obstacle: str = ""


def prove_batchwise(model: ir.Model) -> Batchwise:
    """Prove that samples along the free leading dimension of inputs do not touch each other, or say what hinders it.

    The model stays as it is. Shapes that are declared inside of it or on its outputs are not relied on.
    """
    copy = model.clone()
    for node in nodes(copy):
        for value in node.outputs:
            value.shape = None
    try:
        inline_kernels(copy)
        infer_shapes(copy)
    except ModelError as error:
        return Batchwise(obstacle=str(error))
    symbols = {dim.value: value for value in copy.graph.inputs for dim in _leading(value) if not isinstance(dim, int)}
    if not symbols:
        return Batchwise()
    if len(symbols) > 1:
        first, second, *_ = symbols.values()
        return Batchwise(obstacle=f"the leading dimensions of inputs {first.name!r} and {second.name!r} may differ")
    kinds = judge(copy.graph, str(next(iter(symbols))), copy.opset_imports.get("", 0))
    for value in copy.graph.outputs:
        kind = Kind.SAME if is_constant(value) else kinds[value]
        if kind is not Kind.SAMPLES:
            reason = kind if isinstance(kind, str) else f"output {value.name!r} has no row for each sample"
            return Batchwise(obstacle=reason)
    return Batchwise(tuple(str(value.name) for value in copy.graph.inputs if kinds[value] is Kind.SAMPLES))


def judge(graph: ir.Graph, batch: str, opset: int) -> dict[ir.Value, Kind | str]:
    """Return what each input and each result of a graph is to the batch, a symbol; a text says why it is mixed.

    Shapes must have been inferred, and are relied on.
    """
    proof = _Proof(batch, opset)
    for value in graph.inputs:
        proof.kinds[value] = proof.of_input(value)
    for node in graph:
        proof.visit(node)
    return proof.kinds


class _Proof:
    """What the values of a graph are to the batch, as far as they have been visited."""

    def __init__(self, batch: str, opset: int) -> None:
        self.kinds: dict[ir.Value, Kind | str] = {}
        self._batch = batch
        self._opset = opset

    def of_input(self, value: ir.Value) -> Kind | str:
        if value.shape is None:
            return f"input {value.name!r} has no shape"
        if not any(self._mentions(dim) for dim in value.shape):
            return Kind.SAME
        return self._checked(value, f"input {value.name!r}")

    def visit(self, node: ir.Node) -> None:
        found = self._judge(node)
        for value in node.outputs:
            samples = found is Kind.SAMPLES
            self.kinds[value] = self._checked(value, f"node {label(node)}") if samples else found

    def _judge(self, node: ir.Node) -> Kind | str:
        """Say what the results of a node are; of samples the shapes remain to be checked."""
        read = [self._kind(value) for value in reads(node)]
        if mixed := next((kind for kind in read if isinstance(kind, str)), None):
            return mixed
        inner = [node, *(inner for graph in subgraphs(node) for inner in nodes_within(graph))]
        if not all(is_standard(each) or rule_of(each) for each in inner):
            return f"node {label(node)} is no standard operator"
        if any(map(is_random, inner)):
            return f"node {label(node)} answers otherwise in each run"
        if Kind.SAMPLES not in read:
            return self._of_sizes(node) if Kind.SIZE in read else Kind.SAME
        if is_op(node, "Shape", "Size"):
            beyond = is_op(node, "Shape") and node.attributes.get_int("start", 0) > 0
            return Kind.SAME if beyond else Kind.SIZE
        return self._by_rule(node)

    def _of_sizes(self, node: ir.Node) -> Kind:
        """Say what shape arithmetic makes: Expand may make samples, all alike, out of the size of the batch."""
        return Kind.SAMPLES if is_op(node, "Expand") and self._by_rule(node) is Kind.SAMPLES else Kind.SIZE

    def _by_rule(self, node: ir.Node) -> Kind | str:
        rule = rule_of(node)
        if rule is None:
            return f"node {label(node)} may mix samples"
        found = (None if value is None else self._kind(value) for value in node.inputs)
        kinds = tuple(kind if isinstance(kind, Kind) else None for kind in found)
        reason = rule(Site(node, tuple(node.inputs), kinds, self._opset))
        if reason is not None:
            return f"node {label(node)} {reason}"
        if Kind.SIZE in kinds:
            return self._checked(node.outputs[0], f"node {label(node)}", exactly=True)
        return Kind.SAMPLES

    def _kind(self, value: ir.Value) -> Kind | str:
        return Kind.SAME if is_constant(value) else self.kinds.get(value, f"value {value.name!r} is made elsewhere")

    def _checked(self, value: ir.Value, where: str, *, exactly: bool = False) -> Kind | str:
        """Check that the batch is the leading dimension of a value, and of no other axis; all known if `exactly`."""
        if value.shape is None or len(value.shape) == 0:
            return f"{where} makes {value.name!r}, whose leading axis is not known to be the batch"
        batch, *rest = value.shape
        if isinstance(batch, int) or batch.value != self._batch:
            found = batch if isinstance(batch, int) else batch.value or "unknown"
            return f"{where} makes {value.name!r}, whose leading axis is {found} where the batch is {self._batch}"
        if any(self._mentions(dim) or (exactly and _is_vague(dim)) for dim in rest):
            return f"{where} makes {value.name!r}, whose other axes may depend on the batch"
        return Kind.SAMPLES

    def _mentions(self, dim: int | ir.SymbolicDim) -> bool:
        return not isinstance(dim, int) and self._batch in SYMBOL.findall(dim.value or "")


def _leading(value: ir.Value) -> Iterator[int | ir.SymbolicDim]:
    """Yield the leading dimension of a value that has one."""
    yield from [*(value.shape or ())][:1]


def _is_vague(dim: int | ir.SymbolicDim) -> bool:
    return not isinstance(dim, int) and (dim.value is None or bool(MINTED.search(dim.value)))
