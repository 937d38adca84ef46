"""Which nodes may compute in another float type, and why the others may not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.ir.constants import constant
from graphopt.ir.traits import QUANTIZATION, has_references, is_standard
from graphopt.ir.walk import has_subgraphs, is_op, nodes
from graphopt.pipeline.context import Context
from graphopt.tensors import Array
from passes.convert_float.kernels import Kernels
from passes.convert_float.ranges import LARGEST_FLOAT16, too_large
from passes.convert_float.roles import FLOAT, NARROW, converted_inputs, is_expressible, is_indifferent

LARGEST_ERROR = 2.0**-8
"""Of a constant, relative to its largest element: eight times the rounding of float16, twice that of bfloat16."""
# What is added to a sum of larger numbers: what rounding takes from it is less than what it takes from the sum.
_ADDENDS = dict.fromkeys(
    ("Conv", "ConvTranspose", "Gemm", "InstanceNormalization", "LayerNormalization", "GroupNormalization"), (2,)
) | {"BatchNormalization": (2, 3, 4)}


class Choice(NamedTuple):
    """What is wished for.

    Attributes:
        dtype: to compute in.
        keep: names of nodes, of outputs and of operators that stay.
        runnable: whether onnxruntime must have a kernel.
        data: a .npz to measure activations on; random arrays of `seed` otherwise.

    """

    dtype: ir.DataType
    keep: frozenset[str]
    runnable: bool
    data: str
    seed: int


def choose(model: ir.Model, choice: Choice, ctx: Context) -> list[ir.Node]:
    """Return the nodes to convert; every other that touches float32 gets a remark."""
    opset = model.opset_imports.get("", 0)
    kernels = Kernels(choice.dtype, opset) if choice.runnable else None
    candidates: dict[ir.Node, None] = {}
    for node in _bodies(model):
        reason = _static_reason(node, choice, opset, kernels)
        if reason is None:
            candidates[node] = None
        elif reason:
            ctx.missed(node, f"stays in float32: {reason}")
    large = (
        too_large(model, choice.data, choice.seed, ctx) if choice.dtype is ir.DataType.FLOAT16 and candidates else {}
    )
    chosen = []
    for node in candidates:
        found = next((value for value in (*node.outputs, *node.inputs) if value in large), None)
        if found is None:
            chosen.append(node)
        else:
            ctx.missed(node, f"stays in float32: {found.name!r} reaches {large[found]:.4g}, beyond {LARGEST_FLOAT16:g}")
    return chosen


def _bodies(model: ir.Model) -> Iterator[ir.Node]:
    """Yield the nodes of the graph and its subgraphs; in functions no types are known."""
    functions = {node for function in model.functions.values() for node in function.all_nodes()}
    yield from (node for node in nodes(model) if node not in functions)


def _static_reason(node: ir.Node, choice: Choice, opset: int, kernels: Kernels | None) -> str | None:
    """Return why a node stays, "" where nothing of it is float32, None where nothing speaks against it."""
    values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
    if is_op(node, "Constant") or _is_boundary(node) or all(value.type not in (FLOAT, None) for value in values):
        return ""
    if any(value.type is None for value in values):
        return "the type of a value is unknown"
    if choice.keep.intersection({node.name, node.op_type, *(value.name for value in node.outputs)}):
        return "it is named by keep"
    if not is_standard(node):
        return "its operator is of another domain"
    if (
        has_subgraphs(node)
        or has_references(node)
        or any(not isinstance(value.type, ir.TensorType) for value in values)
    ):
        return "its values go through other graphs or sequences"
    return _operator_reason(node, choice.dtype, opset, kernels) or _constant_reason(node, choice.dtype, opset)


def _operator_reason(node: ir.Node, dtype: ir.DataType, opset: int, kernels: Kernels | None) -> str | None:
    if is_op(node, "Range"):
        return "it counts"
    if is_op(node, *QUANTIZATION):
        return "it says how numbers are stored"
    if not is_expressible(node, dtype, opset):
        return f"its operator takes no {dtype} in opset {opset}"
    if kernels is not None and not kernels.run(node):
        return f"onnxruntime cannot run it in {dtype} (runnable=false converts it nevertheless)"
    return None


def _is_boundary(node: ir.Node) -> bool:
    """Whether a node only carries from or to a narrow type, or reads a float32 tensor as it comes."""
    source = node.inputs[0] if node.inputs else None
    makes_float = node.outputs[0].type == FLOAT
    return is_indifferent(node) and (not makes_float or (source is not None and source.dtype in {*NARROW, FLOAT.dtype}))


def _constant_reason(node: ir.Node, dtype: ir.DataType, opset: int) -> str | None:
    addends = _ADDENDS.get(node.op_type, ())
    for index in converted_inputs(node, dtype, opset):
        value = node.inputs[index]
        content = constant(value)
        if value is not None and content is not None and (why := _loss(content, dtype, addend=index in addends)):
            return f"the constant {value.name!r} {why} in {dtype}"
    return None


def _loss(content: Array, dtype: ir.DataType, *, addend: bool) -> str:
    finite = np.asarray(content, np.float64)[np.isfinite(content)]
    if not finite.size:
        return ""
    with np.errstate(over="ignore"):
        rounded = finite.astype(np.float32).astype(dtype.numpy()).astype(np.float64)
    if not np.isfinite(rounded).all():
        return "overflows"
    lost = np.abs(finite - rounded).max() > LARGEST_ERROR * np.abs(finite).max()
    return "loses its digits" if lost and not addend else ""
