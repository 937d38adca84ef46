"""Operators that we do not lower ourselves: TVM's own ONNX converters, driven one node at a time."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
from tvm import relax
from tvm.ir import GenericConst
from tvm.relax.frontend.onnx import onnx_frontend

from graphopt.backends.tvm.lower.lowered import Lowered, Lowering
from graphopt.backends.tvm.lower.refusal import RefusalError
from graphopt.backends.tvm.lower.refusals import known_wrong
from graphopt.backends.tvm.lower.types import shape_of


@functools.cache
def converters() -> Mapping[str, Any]:
    """Return the importer's converter class of each operator it knows."""
    table: dict[str, Any] = onnx_frontend._get_convert_map()  # noqa: SLF001  # the importer offers no public way
    return table


def convert(lowering: Lowering, node: ir.Node) -> list[Lowered]:
    """Lower a node through the importer, its inputs and outputs in ONNX's order of axes."""
    inputs = [None if value is None else lowering.plain(value) for value in node.inputs]
    return convert_with(lowering, node, inputs)


def convert_with(lowering: Lowering, node: ir.Node, inputs: list[relax.Expr | None]) -> list[Lowered]:
    """Lower a node through the importer on given expressions."""
    converter = converters().get(node.op_type)
    if converter is None:
        raise RefusalError(f"TVM has no lowering of {node.op_type}")
    version = opset(node)
    reason = known_wrong(node, version, _versions(converter))
    if reason is not None:
        raise RefusalError(reason)
    implementation = converter.get_converter(version)
    result = implementation(lowering.builder, onnx_frontend.onnx_input(inputs), _attributes(node), [{}, {}])
    used = [value for value in node.outputs if value.name]
    exprs = [lowering.emit(expr) for expr in _fields(lowering, result)]
    if len(exprs) < len(used):
        raise RefusalError(f"TVM's {node.op_type} makes {len(exprs)} of the {len(used)} outputs")
    return [Lowered(expr, shape_of(value)) for expr, value in zip(exprs, node.outputs, strict=False)]


def opset(node: ir.Node) -> int:
    """Return the opset version by which a node is to be read.

    Raises:
        RefusalError: the node belongs to no graph that imports the standard operators.

    """
    if node.version is not None:
        return node.version
    graph = node.graph
    version = None if graph is None else graph.opset_imports.get("", graph.opset_imports.get("ai.onnx"))
    if version is None:
        raise RefusalError(f"no opset version is known for {node.op_type}")
    return version


@contextlib.contextmanager
def quiet() -> Any:
    """Keep the importer's prints and warnings from the user: what it cannot do comes as an exception."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _versions(converter: Any) -> tuple[int, ...]:
    prefix = "_impl_v"
    return tuple(int(name.removeprefix(prefix)) for name in dir(converter) if name.startswith(prefix))


def _attributes(node: ir.Node) -> dict[str, Any]:
    importer = onnx_frontend.ONNXGraphImporter({}, "float32")
    protos = [ir.to_proto(attribute) for attribute in node.attributes.values()]
    attributes: dict[str, Any] = importer._parse_attr(protos)  # noqa: SLF001  # the importer offers no public way
    attributes["tvm_custom"] = {"name": node.name or "", "num_outputs": len(node.outputs)}
    return attributes


def _fields(lowering: Lowering, result: relax.Expr) -> list[relax.Expr]:
    if isinstance(result, relax.Tuple):
        return list(result)
    if not isinstance(result, relax.Var | GenericConst):
        result = lowering.emit(result)
    if isinstance(result.ty, relax.TupleType):
        return [relax.TupleGetItem(result, index) for index in range(len(result.ty.fields))]
    return [result]
