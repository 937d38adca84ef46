"""Computing nodes in bulk: one model, one run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphopt.errors import ModelError, RunError
from graphopt.ir.constants import is_constant
from graphopt.ir.materialize import tensor_of
from graphopt.ir.walk import reads
from passes.fold_constants.candidates import NO_TENSOR, Refusals, makes_no_tensor
from passes.fold_constants.exact import exact_result
from passes.fold_constants.extraction import extract
from passes.fold_constants.scope import Scope

# onnxruntime takes more than linear time to load a graph of very many nodes.
_CHUNK = 1024

Tensors = dict[ir.Value, ir.TensorProtocol]


def evaluate_nodes(nodes: Sequence[ir.Node], scope: Scope, refusals: Refusals) -> Tensors:
    """Return the results that someone outside of `nodes` reads.

    Where the run fails, its halves run instead, down to the node that is at fault. onnxruntime checks what it
    knows more strictly than what it meets, so that node gets its inputs fed; should this fail as well, it gets a
    reason, and what depends on it is left out.
    """
    known, evaluated = _compute_exactly(nodes)
    nodes = [node for node in nodes if node not in evaluated]
    pending = [nodes[start : start + _CHUNK] for start in range(0, len(nodes), _CHUNK)][::-1]
    while pending:
        part = _computable(pending.pop(), known)
        try:
            known |= _evaluate_or_feed(part, scope, known, refusals)
            evaluated.update(part)
        except (ModelError, RunError) as error:
            if len(part) == 1:
                refusals[part[0]] = f"it cannot be evaluated: {error}"
            else:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
    return {value: tensor for value, tensor in known.items() if _is_read_outside(value, evaluated)}


def _compute_exactly(nodes: Sequence[ir.Node]) -> tuple[Tensors, set[ir.Node]]:
    known: Tensors = {}
    done: set[ir.Node] = set()
    for node in nodes:
        tensor = exact_result(node, known)
        if tensor is not None:
            known[node.outputs[0]] = tensor
            done.add(node)
    return known, done


def _computable(nodes: Sequence[ir.Node], known: Tensors) -> list[ir.Node]:
    computable: list[ir.Node] = []
    computed: set[ir.Value] = set()
    for node in nodes:
        if all(value in computed or value in known or is_constant(value) for value in reads(node)):
            computable.append(node)
            computed.update(node.outputs)
    return computable


def _evaluate_or_feed(nodes: Sequence[ir.Node], scope: Scope, known: Tensors, refusals: Refusals) -> Tensors:
    try:
        return _evaluate(nodes, scope, known, refusals)
    except ModelError:
        if len(nodes) > 1:
            raise
        return _evaluate(nodes, scope, known, refusals, fed=True)


def _evaluate(
    nodes: Sequence[ir.Node], scope: Scope, known: Tensors, refusals: Refusals, *, fed: bool = False
) -> Tensors:
    inside = set(nodes)
    makers = (node for node in nodes if not makes_no_tensor(node))
    wanted = [value for node in makers for value in node.outputs if _is_read_outside(value, inside)]
    if not wanted:
        return {}
    from graphopt.backends.ort.reference import reference_session  # noqa: PLC0415  # most models need no onnxruntime

    copy = extract(nodes, scope.opset_imports, known, wanted, fed=fed)
    results = reference_session(copy.model).run(copy.feeds)
    tensors: Tensors = {}
    for value in wanted:
        result = results[str(copy.values[value].name)]
        if isinstance(result, np.ndarray):
            tensors[value] = tensor_of(result)
        elif producer := value.producer():
            refusals[producer] = NO_TENSOR
    return tensors


def _is_read_outside(value: ir.Value, nodes: set[ir.Node]) -> bool:
    return value.is_graph_output() or any(reader not in nodes for reader, _ in value.uses())
