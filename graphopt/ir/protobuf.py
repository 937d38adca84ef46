"""Bytes to ModelProto: what a file is when it is no ONNX model, and what onnx_ir would silently lose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, numpy_helper

from graphopt.errors import ModelError
from graphopt.ir import wire

_PROGRAM_SUFFIX, _PROGRAM_MANIFEST = ".gopt", "manifest.json"  # as `graphopt.runtime` has them, which is above

# What people hand over in place of a model: (offset, magic, what it is and the mend).
IMPOSTORS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "it is a Git LFS pointer; fetch the model itself with `git lfs pull`"),
    (0, b"PK\x03\x04", "it is a zip archive, perhaps a PyTorch checkpoint; export it to ONNX first"),
    (0, b"\x80\x02", "it is a Python pickle, perhaps a PyTorch checkpoint; export it to ONNX first"),
    (0, b"\x1f\x8b", "it is compressed with gzip; unpack it first"),
    (0, b"\x89HDF", "it is an HDF5 file, perhaps a Keras model; convert it to ONNX first"),
    (4, b"TFL3", "it is a TensorFlow Lite model; convert it to ONNX first"),
    (4, b"ORTM", "it is in onnxruntime's own format; use the .onnx file it was made from"),
)
TEXT_BYTES = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r\x0b\x0c\xef\xbb\xbf")
NEWEST_IR_VERSION = int(onnx.IR_VERSION)


def read(path: Path) -> onnx.ModelProto:
    """Read a binary ONNX file; external data stays on disk.

    Raises:
        ModelError: the file is missing, unreadable or no ONNX model.

    """
    if (path.suffix == _PROGRAM_SUFFIX and path.is_file()) or (path / _PROGRAM_MANIFEST).is_file():
        raise ModelError(
            "it is a compiled program, which `graphopt run` takes; give the ONNX file that it was compiled from"
        )
    if path.is_dir():
        raise ModelError("it is a directory; give the .onnx file in it")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError("it does not exist; check the path") from error
    except OSError as error:
        raise ModelError(f"it cannot be read ({error.strerror}); check the file's permissions") from error
    return parse(data)


def parse(data: bytes) -> onnx.ModelProto:
    """Parse the bytes of a binary ONNX model.

    Raises:
        ModelError: they are empty, of another format, truncated or damaged.

    """
    _refuse_other_formats(data)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            f"it is no readable ONNX protobuf ({len(data)} bytes, truncated or damaged); export or download it again"
        ) from error
    return proto


def check(proto: onnx.ModelProto) -> None:
    """Check what must hold before onnx_ir may take over: versions, fields, and names that it would merge or invent.

    Raises:
        ModelError: no graph, an IR version beyond the installed onnx, a field that is damaged, a name defined
            twice or nowhere.

    """
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError("it holds no graph, so it is no ONNX model; export or download it again")
    if proto.ir_version > NEWEST_IR_VERSION:
        raise ModelError(
            f"it has IR version {proto.ir_version}, newer than the {NEWEST_IR_VERSION} that onnx "
            f"{onnx.__version__} knows; upgrade the onnx package"
        )
    if not proto.opset_import:
        raise ModelError("it imports no operator set, so it is truncated or damaged; export or download it again")
    wire.check_header(proto)
    _check_names(proto.graph, frozenset())
    for function in proto.functions:
        _check_function(function)


def without_sparse(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with sparse constants made dense: onnx_ir drops or refuses them. The given one stays."""
    if not any(_has_sparse(graph) for graph in _scopes(proto)):
        return proto
    dense = onnx.ModelProto()
    dense.CopyFrom(proto)
    for scope in _scopes(dense):
        if isinstance(scope, GraphProto):
            scope.initializer.extend(_densify(tensor) for tensor in scope.sparse_initializer)
            del scope.sparse_initializer[:]
        for node in scope.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.SPARSE_TENSOR and node.op_type == "Constant":
                    _make_dense(attribute)
    return dense


def _refuse_other_formats(data: bytes) -> None:
    if not data:
        raise ModelError("it is empty; export or download it again")
    for offset, magic, sentence in IMPOSTORS:
        if data.startswith(magic, offset):
            raise ModelError(sentence)
    if TEXT_BYTES.issuperset(data[:512]):
        raise ModelError("it is text, not a binary ONNX model; give the .onnx file, or parse it with graphopt.ir.text")


Scope = GraphProto | onnx.FunctionProto


def _scopes(proto: onnx.ModelProto) -> Iterator[Scope]:
    pending: list[Scope] = [proto.graph, *proto.functions]
    while pending:
        scope = pending.pop()
        yield scope
        for node in scope.node:
            pending.extend(_subgraphs(node))


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def _outputs(nodes: Iterable[NodeProto]) -> Iterator[str]:
    return (name for node in nodes for name in node.output if name)


def _check_names(graph: GraphProto, outer: frozenset[str]) -> None:
    where = f"graph {graph.name!r}"
    wire.check_scope(graph, where)
    initializers = [tensor.name for tensor in graph.initializer]
    initializers += [tensor.values.name for tensor in graph.sparse_initializer]
    inputs = [value.name for value in graph.input]
    if not all((*initializers, *inputs)):
        raise ModelError(f"an input or initializer of {where} has no name; name it")
    _check_unique(initializers, where)
    _check_unique(inputs, where)
    defaults = set(inputs)
    _check_unique((*inputs, *(name for name in initializers if name not in defaults), *_outputs(graph.node)), where)
    _check_unique(initializers, where)
    visible = outer.union(initializers, inputs, _outputs(graph.node))
    _check_reads(graph.node, visible, where)
    _check_produced((value.name for value in graph.output), visible, where)


def _check_function(function: onnx.FunctionProto) -> None:
    where = f"function {function.name!r}"
    wire.check_scope(function, where)
    _check_unique((*function.input, *_outputs(function.node)), where)
    visible = frozenset((*function.input, *_outputs(function.node)))
    _check_reads(function.node, visible, where)
    _check_produced(function.output, visible, where)


def _check_unique(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ModelError(f"the name {name!r} is defined twice in {where}; value names must be unique")
        seen.add(name)


def _check_reads(nodes: Iterable[NodeProto], visible: frozenset[str], where: str) -> None:
    for node in nodes:
        for name in node.input:
            if name and name not in visible:
                raise ModelError(
                    f"node {node.op_type} {node.name!r} of {where} reads {name!r}, which nothing defines; "
                    "produce it, or make it an input or an initializer"
                )
        for graph in _subgraphs(node):
            _check_names(graph, visible)


def _check_produced(outputs: Iterable[str], visible: frozenset[str], where: str) -> None:
    for name in outputs:
        if name not in visible:
            raise ModelError(f"no node of {where} produces its output {name!r}; produce it or drop it")


def _has_sparse(scope: Scope) -> bool:
    if isinstance(scope, GraphProto) and scope.sparse_initializer:
        return True
    return any(attribute.type == AttributeProto.SPARSE_TENSOR for node in scope.node for attribute in node.attribute)


def _make_dense(attribute: AttributeProto) -> None:
    tensor = _densify(attribute.sparse_tensor)
    attribute.ClearField("sparse_tensor")
    attribute.name, attribute.type = "value", AttributeProto.TENSOR
    attribute.t.CopyFrom(tensor)


def _densify(sparse: onnx.SparseTensorProto) -> TensorProto:
    """Expand a SparseTensorProto; indices are linear [NNZ] or one row of coordinates a value [NNZ, rank]."""
    shape = tuple(sparse.dims)
    try:
        values = numpy_helper.to_array(sparse.values)
        indices = numpy_helper.to_array(sparse.indices)
        linear = indices if indices.ndim == 1 else np.ravel_multi_index(tuple(indices.T), shape)
        dense = np.zeros(shape, values.dtype)
        dense.reshape(-1)[linear] = values
    except (ValueError, IndexError, MemoryError) as error:
        name = sparse.values.name
        raise ModelError(f"the sparse tensor {name!r} of shape {shape} is inconsistent; export it again") from error
    return numpy_helper.from_array(dense, sparse.values.name)
