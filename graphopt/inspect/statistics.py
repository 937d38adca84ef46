"""The numbers a person asks of a model first."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from graphopt.inspect.layers import is_product, is_quantized, macs_of
from graphopt.inspect.memory import activation_peak
from graphopt.inspect.operations import count_operations
from graphopt.ir.fused import inline_kernels, kernels
from graphopt.ir.walk import is_op, nodes, operator_name, scopes
from graphopt.tensors import TensorSpec


@dataclass(frozen=True)
class Statistics:
    """What a model is made of.

    Attributes:
        inputs, outputs: with dtype and shape.
        opsets: version by domain; the standard domain is "ai.onnx".
        nodes: of all scopes, Constant aside, which is a parameter; a call of a kernel is one node.
        kernels: how often each is called.
        ops: nodes by operator, the most frequent first, with those inside of a kernel in the place of each call.
        parameters: elements of all constants.
        parameter_bytes: their size by dtype.
        flops: floating-point operations of one run, a multiply-add counting as two.
        macs: multiply-adds of convolutions and matrix products.
        zeros: how many of the parameters are 0.
        activations: the most bytes that inputs, outputs and values between nodes take at once, in the order of the
            nodes; None where shapes are not static.
        activations_at: the node that runs then.
        products: convolutions and matrix products.
        quantized_products: those that take integers, of their operator or behind DequantizeLinear.
        quantized_macs: multiply-adds of these.
        uncounted: operators whose operations are unknown, for want of a static shape, by how many nodes.

    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opsets: dict[str, int]
    nodes: int
    kernels: dict[str, int]
    ops: dict[str, int]
    parameters: int
    parameter_bytes: dict[str, int]
    flops: int
    macs: int
    zeros: int
    activations: int | None
    activations_at: str
    products: int
    quantized_products: int
    quantized_macs: int
    uncounted: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return asdict(self)


def statistics(model: ir.Model) -> Statistics:
    """Measure a model; shapes must have been inferred for its operations to be counted.

    Those of a kernel are counted for each call of it, with the shapes of the call.
    """
    plain = without_kernels(model)
    operations = count_operations(plain)
    peak = activation_peak(plain.graph)
    products = [node for node in nodes(plain) if is_product(node)]
    quantized = [node for node in products if is_quantized(node)]
    return Statistics(
        name=model.graph.name or "",
        inputs=tuple(map(tensor_spec, model.graph.inputs)),
        outputs=tuple(map(tensor_spec, model.graph.outputs)),
        opsets={domain or "ai.onnx": version for domain, version in model.opset_imports.items()},
        nodes=count_nodes(model).total(),
        kernels=dict(_count_calls(model).most_common()),
        ops=dict(count_nodes(plain).most_common()),
        parameters=count_parameters(model),
        parameter_bytes=_parameter_bytes(model),
        flops=operations.flops,
        macs=operations.macs,
        zeros=sum(map(_zeros, _constants(model))),
        activations=None if peak is None else peak.bytes,
        activations_at="" if peak is None else peak.node,
        products=len(products),
        quantized_products=len(quantized),
        quantized_macs=sum(map(macs_of, quantized)),
        uncounted=dict(operations.uncounted),
    )


def count_nodes(model: ir.Model) -> Counter[str]:
    """Count the nodes of all scopes by operator, Constant aside; a foreign domain is part of the name.

    A kernel is counted where it is called: what is inside is no node of the model.
    """
    inside = {node for function in kernels(model) for node in function}
    return Counter(operator_name(node) for node in nodes(model) if not is_op(node, "Constant") and node not in inside)


def _count_calls(model: ir.Model) -> Counter[str]:
    called = {function.identifier(): function.name for function in kernels(model)}
    return Counter(called[key] for node in nodes(model) if (key := node.op_identifier()) in called)


def count_parameters(model: ir.Model) -> int:
    """Count the elements of all constants, in initializers and Constant nodes."""
    return sum(tensor.size for tensor in _constants(model))


def tensor_spec(value: ir.Value) -> TensorSpec:
    """Describe the value at the border of a model."""
    dtype = value.dtype.numpy().name if value.dtype is not None else "?"
    if value.shape is None:
        return TensorSpec(str(value.name), dtype, None)
    dims = tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)
    return TensorSpec(str(value.name), dtype, dims)


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """Return the shape of a value all of whose dimensions are numbers; raises ValueError otherwise."""
    dims = tuple(dim for dim in value.shape or () if isinstance(dim, int))
    if value.shape is None or len(dims) != len(value.shape):
        raise ValueError(f"value {value.name!r} has no static shape")
    return dims


def without_kernels(model: ir.Model) -> ir.Model:
    """Return a model with the nodes of its kernels in the place of their calls; itself where there are none."""
    if not kernels(model):
        return model
    plain = model.clone()
    inline_kernels(plain)
    return plain


def _zeros(tensor: ir.TensorProtocol) -> int:
    return 0 if tensor.dtype is ir.DataType.STRING else tensor.size - int(np.count_nonzero(tensor.numpy()))


def _parameter_bytes(model: ir.Model) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for tensor in _constants(model):
        sizes[tensor.dtype.name.lower()] += tensor.nbytes
    return dict(sizes.most_common())


def _constants(model: ir.Model) -> list[ir.TensorProtocol]:
    held = [value.const_value for scope in scopes(model) for value in scope.initializers.values()]
    attributes = (attribute for node in nodes(model) for attribute in node.attributes.data.values())
    tensors = [attribute.value for attribute in attributes if attribute.type is ir.AttributeType.TENSOR]
    return [tensor for tensor in (*held, *tensors) if tensor is not None]
