"""fold-constants: compute now what every run would compute alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.dead import erase, erase_unread
from graphopt.ir.materialize import make_constant
from graphopt.ir.walk import is_op
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from passes.fold_constants.branches import NEVER_TAKEN, read_when_never_taken
from passes.fold_constants.candidates import NO_TENSOR, Refusals, find_candidates, makes_no_tensor, tensor_bytes
from passes.fold_constants.evaluation import evaluate_nodes
from passes.fold_constants.scope import Scope, scopes_of
from passes.fold_constants.static_shapes import shape_results


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Replace what every run computes alike by its result.

    Constant nodes become initializers. Deterministic operators of `ai.onnx` whose inputs are all constant are
    evaluated, all at once, by onnxruntime with its optimizations off, and so are those of `ai.onnx.ml`, and If,
    Scan and Loop with all that they hold, where it is known how long they run. Shape and Size of a value of fixed
    shape are folded as well. Quantization stays visible: what is quantized is stored quantized, and a
    DequantizeLinear that a node reads is kept. In functions, which have no initializers, results are Constant
    nodes.

    Attributes:
        max_bytes: a result larger than this, and larger than the inputs it is made from, is not stored, unless
            `compact-weights` stored it in fewer bytes.

    """

    name: ClassVar[str] = "fold-constants"
    max_bytes: int = 1 << 20

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Fold until nothing more is known; a node that is kept though its inputs are constant gets a reason."""
        changes = 0
        for scope in scopes_of(model):
            refusals: Refusals = {}
            if not scope.in_function:
                changes += _store_constant_nodes(scope) + _replace(scope, shape_results(scope), ctx)
            while folded := self._fold_round(scope, refusals, ctx):
                changes += folded
            for node, why in refusals.items():
                ctx.missed(node, why)
        return changes

    def _fold_round(self, scope: Scope, refusals: Refusals, ctx: Context) -> int:
        """Fold what can be evaluated before the size of every result is known; return how many nodes went."""
        candidates = find_candidates(scope, self.max_bytes, refusals)
        results = evaluate_nodes(candidates.nodes, scope, refusals)
        for value, tensor in results.items():
            candidates.accept(value, tensor_bytes(tensor), refusals)
        left = read_when_never_taken(scope, results)
        kept = left | refusals.keys()
        stored = {value: tensor for value, tensor in results.items() if value.producer() not in kept}
        if not stored:
            refusals.update(dict.fromkeys(left.intersection(candidates.nodes), NEVER_TAKEN))
            refusals.update(dict.fromkeys(filter(makes_no_tensor, candidates.nodes), NO_TENSOR))
        return _replace(scope, stored, ctx)


def _store_constant_nodes(scope: Scope) -> int:
    stored = 0
    for node in scope.nodes():
        tensor = constant_tensor(node.outputs[0]) if is_op(node, "Constant") else None
        if tensor is not None:
            make_constant(node.outputs[0], tensor)
            erase(node)
            stored += 1
    return stored


def _replace(scope: Scope, results: dict[ir.Value, ir.TensorProtocol], ctx: Context) -> int:
    for value, tensor in results.items():
        producer = value.producer()
        if producer is not None:
            ctx.applied(producer, "is constant")
        make_constant(value, tensor, in_function=scope.in_function)
    return erase_unread(results)
