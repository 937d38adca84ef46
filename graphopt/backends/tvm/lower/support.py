"""Can TVM take this node? Known by trying: one node is lowered and legalized with placeholders for its inputs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import onnx_ir as ir
import tvm
from tvm import relax

from graphopt.backends.tvm.lower.channels import ChannelPlan
from graphopt.backends.tvm.lower.importer import opset, quiet
from graphopt.backends.tvm.lower.known import is_known
from graphopt.backends.tvm.lower.legalize import legalize, without_kernel
from graphopt.backends.tvm.lower.lowered import Lowered, Lowering, tensor_type
from graphopt.backends.tvm.lower.operators import lower_node
from graphopt.backends.tvm.lower.quantized_operators import DEFINITIONS
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.ir.constants import constant, constant_tensor
from graphopt.targets import host
from graphopt.tensors import Array

_VALUES_IN_KEY = 64
"""Constants of up to this many elements (axes, shapes, scales) can decide whether a node is supported."""
_SCALED = frozenset({"DequantizeLinear", "QuantizeLinear", *(operator for _, operator in DEFINITIONS)})
"""Operators of whose constants, scales and zero points, the sign alone decides; hardly any two nodes have the same."""
_LONGEST_REASON = 160

Key = tuple[object, ...]


class Support:
    """Answers for nodes, and remembers: nodes that look the same to TVM are tried once."""

    def __init__(self) -> None:
        self._answers: dict[Key, str | None] = {}

    def __call__(self, node: ir.Node) -> str | None:
        """Return None when TVM can take the node, else the reason as a clause that follows `because`."""
        if all(map(is_known, node.outputs)):
            return None  # no code is made for it
        try:
            key = _key(node)
        except RefusalError as refusal:
            return str(refusal)
        if key not in self._answers:
            self._answers[key] = _probe(node)
        return self._answers[key]


def _key(node: ir.Node) -> Key:
    attributes = tuple(sorted(f"{attribute.name}={attribute.value}" for attribute in node.attributes.values()))
    content = _signs if node.op_type in _SCALED else np.ndarray.tobytes
    inputs = tuple(None if value is None else _input_key(value, content) for value in node.inputs)
    outputs = tuple((shape_of(value), dtype_of(value)) for value in node.outputs if value.name)
    return (node.domain, node.op_type, opset(node), attributes, inputs, outputs)


def _input_key(value: ir.Value, content: Callable[[Array], bytes]) -> Key:
    array = constant(value)
    if array is None:
        return (shape_of(value), dtype_of(value), "known" if is_known(value) else None)
    decisive = content(array) if array.size <= _VALUES_IN_KEY else None
    return (array.shape, dtype_of(value), "constant", decisive)


def _signs(array: Array) -> bytes:
    return bytes([bool(np.all(np.greater(array, 0)))])


def _probe(node: ir.Node) -> str | None:
    try:
        with quiet(), _stand_in(node) as trial:
            return without_kernel(_legalized(trial))
    except RefusalError as refusal:
        return str(refusal)
    except Exception as error:  # noqa: BLE001  # converters fail in every way there is; each means "not supported"
        return f"TVM's lowering of {node.op_type} fails: {_first_line(error)}"


@contextmanager
def _stand_in(node: ir.Node) -> Iterator[ir.Node]:
    """Yield a node like another, with zeros for constants that cannot decide: they take no memory, nor time to pack."""
    inputs = [_zeros(value) if value is not None and _is_large(value) else value for value in node.inputs]
    outputs = [ir.Value(name=value.name, shape=value.shape, type=value.type) for value in node.outputs]
    attributes = node.attributes.values()
    trial = ir.Node(node.domain, node.op_type, inputs, attributes, outputs=outputs, version=opset(node))
    try:
        yield trial
    finally:
        for index in range(len(inputs)):
            trial.replace_input_with(index, None)


def _is_large(value: ir.Value) -> bool:
    tensor = constant_tensor(value)
    if tensor is None and is_known(value):
        return True
    return tensor is not None and tensor.size > _VALUES_IN_KEY and tensor.dtype is not ir.DataType.STRING


def _zeros(value: ir.Value) -> ir.Value:
    shape, dtype = shape_of(value), np.dtype(dtype_of(value))
    zeros = ir.Tensor(np.broadcast_to(np.zeros((), dtype), shape))
    made = ir.Value(name=value.name, shape=value.shape, type=value.type)
    ir.Node("", "Constant", [], [ir.AttrTensor("value", zeros)], outputs=[made])
    return made


class _Trial(Lowering):
    """A lowering whose weights have a shape and a dtype, and take no memory."""

    def weights(self, array: Array) -> relax.Expr:
        return self.emit(relax.op.zeros(array.shape, str(array.dtype)))


def _legalized(node: ir.Node) -> tvm.IRModule:
    lowering = _Trial(host(), ChannelPlan())
    builder = lowering.builder
    values = list(dict.fromkeys(value for value in node.inputs if value is not None and not is_known(value)))
    parameters = [relax.Var(f"input{index}", tensor_type(value)) for index, value in enumerate(values)]
    failure: Exception | None = None
    with builder.function("main", parameters):
        with builder.dataflow():
            for value, parameter in zip(values, parameters, strict=True):
                lowering.define(value, Lowered(parameter, shape_of(value)))
            try:
                result: relax.Expr = relax.Tuple([lowered.expr for lowered in _checked(lowering, node)])
            except Exception as error:  # noqa: BLE001  # raised again below: a builder left open warns on stderr
                failure, result = error, relax.const(0)
            output = builder.emit_output(result)
        builder.emit_func_output(output)
    if failure is not None:
        raise failure
    with tvm.target.Target("llvm"):
        return legalize(builder.finalize())


def _checked(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    results = [
        lowering.real(lowered, dtype_of(value))
        for value, lowered in zip(node.outputs, lower_node(lowering, node), strict=False)
    ]
    for value, lowered in zip(node.outputs, results, strict=False):
        _check_type(value, lowered)
    return results


def _check_type(value: ir.Value, lowered: Lowered) -> None:
    if not value.name:
        return
    expected = lowered.layout.shape(shape_of(value)), dtype_of(value)
    found = tuple(int(extent) for extent in lowered.expr.ty.shape), str(lowered.expr.ty.dtype)
    if found != expected:
        raise RefusalError(
            f"TVM makes {found[1]}{list(found[0])} of {value.name!r}, not {expected[1]}{list(expected[0])}"
        )


def _first_line(error: BaseException) -> str:
    text = str(error).rpartition("script() method to show it.")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return textwrap.shorten(lines[-1], _LONGEST_REASON) if lines else type(error).__name__


supports = Support()
"""The process's own answers; see `Support.__call__`."""
