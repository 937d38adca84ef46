"""A list of nodes → a Relax module with one function, `main`."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
import tvm
from tvm import relax

from graphopt.backends.tvm.lower.importer import quiet
from graphopt.backends.tvm.lower.layout import PLAIN
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering, tensor_type
from graphopt.backends.tvm.lower.operators import lower_node
from graphopt.backends.tvm.lower.types import shape_of
from graphopt.ir.walk import is_op
from graphopt.targets import Target


def lower(
    nodes: Sequence[ir.Node], inputs: Sequence[ir.Value], outputs: Sequence[ir.Value], target: Target
) -> tvm.IRModule:
    """Lower nodes in topological order to `main(inputs …) -> (outputs …)`, all in ONNX's order of axes.

    `inputs` are the values read from outside, without constants: those are read where they stand.

    Raises:
        RefusalError: a node is beyond this backend; `support.supports` says so beforehand.

    """
    lowering = Lowering(target.lanes())
    builder = lowering.builder
    parameters = [relax.Var(f"input{index}", tensor_type(value)) for index, value in enumerate(inputs)]
    with quiet(), builder.function("main", parameters):
        with builder.dataflow():
            for value, parameter in zip(inputs, parameters, strict=True):
                lowering.define(value, Lowered(parameter, shape_of(value), PLAIN))
            for node in nodes:
                if is_op(node, "Constant"):
                    continue
                for value, lowered in zip(node.outputs, lower_node(lowering, node), strict=False):
                    lowering.define(value, lowered)
            results = builder.emit_output(relax.Tuple([lowering.plain(value) for value in outputs]))
        builder.emit_func_output(results)
    return builder.finalize()
