"""What protobuf's wire format lets through and nothing after it expects: text that is no text, unknown types."""

from __future__ import annotations

import math
from collections.abc import Iterable

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

from graphopt.errors import ModelError

NEWEST_ELEMENT_TYPE = 26  # INT2, the last of IR version 13: onnxruntime runs none of the float6 types of version 14
ELEMENT_TYPES = frozenset(range(TensorProto.FLOAT, NEWEST_ELEMENT_TYPE + 1)) & {*TensorProto.DataType.values()}
# Where the value of an attribute is a message of its own: absent, there is nothing to read; absent numbers are 0.
MESSAGES = {
    AttributeProto.TENSOR: "t",
    AttributeProto.GRAPH: "g",
    AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    AttributeProto.TYPE_PROTO: "tp",
}
EXTERNAL_NUMBERS = frozenset({"offset", "length"})
LARGEST_OPSET = 2**31 - 1


def check_header(model: onnx.ModelProto) -> None:
    """Check the texts and versions of a model, its graph aside; raises ModelError."""
    _check_texts((model.producer_name, model.producer_version, model.domain, model.doc_string), "its header")
    _check_texts((text for entry in model.metadata_props for text in (entry.key, entry.value)), "its metadata")
    for item in (*model.opset_import, *(item for function in model.functions for item in function.opset_import)):
        _check_texts((item.domain,), "an imported operator set")
        if not 0 < item.version <= LARGEST_OPSET:
            raise ModelError(f"it imports version {item.version} of {item.domain or 'ai.onnx'!r}; export it again")


def check_scope(scope: GraphProto | onnx.FunctionProto, where: str) -> None:
    """Check the texts, element types and attributes of one graph, nested ones aside; raises ModelError."""
    _check_texts((scope.name, scope.doc_string), where)
    if isinstance(scope, GraphProto):
        _check_graph(scope, where)
    else:
        _check_texts((scope.domain, *scope.input, *scope.output, *scope.attribute), where)
    for node in scope.node:
        _check_node(node, where)


def _check_graph(graph: GraphProto, where: str) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        _check_texts((value.name, value.doc_string), where)
        _check_texts((dim.dim_param for dim in value.type.tensor_type.shape.dim), where)
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type not in ELEMENT_TYPES:
            kind = value.type.tensor_type.elem_type
            raise ModelError(
                f"value {value.name!r} of {where} has the element type {kind}, which cannot be run; export it again"
            )
    for tensor in graph.initializer:
        _check_tensor(tensor, where)
    for sparse in graph.sparse_initializer:
        _check_tensor(sparse.values, where)
        _check_tensor(sparse.indices, where)


def _check_node(node: NodeProto, where: str) -> None:
    _check_texts((node.name, node.op_type, node.domain, node.doc_string, *node.input, *node.output), where)
    for attribute in node.attribute:
        _check_texts((attribute.name, attribute.doc_string, attribute.ref_attr_name), where)
        if fault := _fault(attribute):
            raise ModelError(f"{_place(attribute, node)} {fault}; export the model again")
        for tensor in _tensors(attribute):
            _check_tensor(tensor, _place(attribute, node))


def _place(attribute: AttributeProto, node: NodeProto) -> str:
    return f"attribute {attribute.name!r} of node {node.op_type} {node.name!r}"


def _fault(attribute: AttributeProto) -> str:
    kind = attribute.type
    if kind == AttributeProto.UNDEFINED:
        return "has no type"
    if attribute.ref_attr_name:
        nested = kind in (AttributeProto.GRAPH, AttributeProto.GRAPHS)
        return "takes a graph by reference, which is not supported" if nested else ""
    return "has no value" if kind in MESSAGES and not attribute.HasField(MESSAGES[kind]) else ""


def _tensors(attribute: AttributeProto) -> Iterable[TensorProto]:
    if attribute.ref_attr_name:
        return ()
    match attribute.type:
        case AttributeProto.TENSOR:
            return (attribute.t,)
        case AttributeProto.TENSORS:
            return attribute.tensors
        case AttributeProto.SPARSE_TENSOR:
            return attribute.sparse_tensor.values, attribute.sparse_tensor.indices
    return ()


def _check_tensor(tensor: TensorProto, where: str) -> None:
    _check_texts((tensor.name, tensor.doc_string), where)
    if tensor.data_type not in ELEMENT_TYPES:
        raise ModelError(
            f"tensor {tensor.name!r} of {where} has the element type {tensor.data_type}, which cannot be run; "
            "export it again"
        )
    if tensor.data_type == TensorProto.STRING and len(tensor.string_data) != math.prod(tensor.dims):
        held = len(tensor.string_data)
        raise ModelError(f"tensor {tensor.name!r} of shape {list(tensor.dims)} holds {held} texts; export it again")
    for entry in tensor.external_data:
        _check_external_entry(entry, tensor.name)


def _check_external_entry(entry: onnx.StringStringEntryProto, name: str) -> None:
    _check_texts((entry.key, entry.value), f"tensor {name!r}")
    if entry.key in EXTERNAL_NUMBERS and not entry.value.isdecimal():
        raise ModelError(
            f"the external data of tensor {name!r} have the {entry.key} {entry.value!r}, no number of bytes; "
            "export the model again"
        )


def _check_texts(texts: Iterable[str], where: str) -> None:
    """Protobuf hands out a text that is no UTF-8 as bytes."""
    for text in texts:
        if not isinstance(text, str):
            raise ModelError(f"{where} holds the text {text!r}, which is no UTF-8; export the model again")
