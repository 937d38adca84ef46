"""A list of nodes → a Relax module with one function, `main`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir
import tvm
from tvm import relax

from graphopt.backends.tvm.lower.channels import plan_channels
from graphopt.backends.tvm.lower.importer import quiet
from graphopt.backends.tvm.lower.known import is_known
from graphopt.backends.tvm.lower.layout import PLAIN
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering, tensor_type
from graphopt.backends.tvm.lower.operators import lower_node
from graphopt.backends.tvm.lower.precision import is_read_rounded
from graphopt.backends.tvm.lower.types import shape_of
from graphopt.ir.fusible import is_fusible
from graphopt.ir.walk import is_op
from graphopt.targets import Target

KernelOf = Mapping[ir.Node, object]
"""The kernel of each node that shares one with others, as anything that can be compared."""


def lower(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    kernel_of: KernelOf | None = None,
    mark: Callable[[], None] = lambda: None,
) -> tvm.IRModule:
    """Lower nodes in topological order to `main(inputs …) -> (outputs …)`, all in ONNX's order of axes.

    `inputs` are the values read from outside, without constants: those are read where they stand. A value that
    goes from one kernel to another is an output of the dataflow, and so Relax fuses nothing across it; with data
    movement and reductions, for which `kernel_of` says nothing, it fuses by its own rules. `mark` is called while the
    function is under construction, before each node and behind the last.

    Raises:
        RefusalError: a node is beyond this backend; `support.supports` says so beforehand.

    """
    plan = plan_channels(nodes, outputs, target.lanes())
    lowering = Lowering(target, plan)
    builder = lowering.builder
    parameters = [relax.Var(f"input{index}", tensor_type(value)) for index, value in enumerate(inputs)]
    with quiet(), builder.function("main", parameters):
        with builder.dataflow():
            for value, parameter in zip(inputs, parameters, strict=True):
                lowering.define(value, Lowered(parameter, shape_of(value), PLAIN))
            for node in nodes:
                mark()
                if is_op(node, "Constant") or node in plan.moves or all(map(is_known, node.outputs)):
                    continue
                for value, lowered in zip(node.outputs, lower_node(lowering, node), strict=False):
                    as_itself = value not in outputs and lowered.affine is None
                    rounded = as_itself and is_read_rounded(value, target)
                    result = lowering.rounded(lowered) if rounded else lowered
                    stored = kernel_of is not None and _is_stored(node, value, kernel_of)
                    lowering.define(value, _stored(lowering, result) if stored else result)
            mark()
            results = builder.emit_output(relax.Tuple([lowering.plain(value) for value in outputs]))
        builder.emit_func_output(results)
    return builder.finalize()


def _is_stored(node: ir.Node, value: ir.Value, kernel_of: KernelOf) -> bool:
    """Whether a value goes from one kernel to another; what no kernel is decided for goes with either."""
    kernel = kernel_of.get(node, node)
    readers = (reader for reader in value.consumers() if kernel_of.get(reader, reader) != kernel)
    return is_fusible(node) and any(map(is_fusible, readers))


def _stored(lowering: Lowering, lowered: Lowered) -> Lowered:
    return replace(lowered, expr=lowering.store(lowered.expr))
