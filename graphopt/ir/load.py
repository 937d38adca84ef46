"""From a file, bytes, a ModelProto or an ir.Model to a verified IR whose source stays untouched."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.serde import SerdeError

from graphopt.errors import ModelError
from graphopt.ir import protobuf
from graphopt.ir.old_opsets import raise_old_opset
from graphopt.ir.shapes import ShapeSpec, bind_shapes, normalize_shapes
from graphopt.ir.tensors import check_external, wrap_inline
from graphopt.ir.verify import check_structure, verify

Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model
OPTIONAL_INITIALIZER_INPUTS = 4  # the first IR version in which an initializer need not be an input
# onnxruntime reads no newer one. Version 14 adds element types alone, which `wire` refuses, so all the rest can step
# down to 13; an older onnxruntime says itself what it does not read.
NEWEST_RUNNABLE_IR = 13


def load(
    source: Source, *, overridable_initializers: bool = False, shapes: Mapping[str, ShapeSpec] | None = None
) -> ir.Model:
    """Load a model and check it.

    External data are memory-mapped, not read. Initializers that are also listed as inputs are constants,
    unless `overridable_initializers` keeps them inputs. A model of opset 1 to 6 comes out in opset 7. `shapes`
    binds dimensions as `bind_shapes` does.

    Raises:
        ModelError: not readable, not ONNX, not valid, or beyond the operators and opsets that are known.

    """
    with _naming(_origin(source)):
        model = _read(source)
        if not overridable_initializers:
            _make_constants(model.graph)
        model.ir_version = min(max(model.ir_version, OPTIONAL_INITIALIZER_INPUTS), NEWEST_RUNNABLE_IR)
        normalize_shapes(model)
        raise_old_opset(model)
        verify(model)
        if shapes:
            bind_shapes(model, shapes)
    return model


def _read(source: Source) -> ir.Model:
    if isinstance(source, ir.Model):
        check_structure(source)
        model = source.clone()
        check_external(model, None)
        wrap_inline(model)
        return model
    if isinstance(source, bytes):
        return from_proto(protobuf.parse(source), None)
    if isinstance(source, onnx.ModelProto):
        return from_proto(source, None)
    path = Path(source)
    return from_proto(protobuf.read(path), path.absolute().parent)


def from_proto(proto: onnx.ModelProto, folder: Path | None) -> ir.Model:
    """Represent a protobuf faithfully, its tensors wrapped, its external data anchored in `folder`.

    Raises:
        ModelError: onnx_ir would lose, merge or refuse something. The graph's order, operators and types
            remain unchecked.

    """
    protobuf.check(proto)
    try:
        model = ir.from_proto(protobuf.without_sparse(proto))
    except (SerdeError, NotImplementedError) as error:
        raise ModelError(f"it cannot be represented ({_root_cause(error)}); simplify that part of the model") from error
    for imports in (model.opset_imports, *(function.opset_imports for function in model.functions.values())):
        if "ai.onnx" in imports:
            imports.setdefault("", imports.pop("ai.onnx"))
    check_external(model, folder)
    wrap_inline(model)
    return model


def _make_constants(graph: ir.Graph) -> None:
    inputs = [value for value in graph.inputs if not value.is_initializer()]
    if len(inputs) != len(graph.inputs):
        graph.inputs.clear()
        graph.inputs.extend(inputs)


def _origin(source: Source) -> str:
    match source:
        case ir.Model():
            return f"model {source.graph.name!r}"
        case onnx.ModelProto():
            return f"model {source.graph.name!r}"
        case bytes():
            return "the given bytes"
        case _:
            return repr(os.fspath(source))


@contextmanager
def _naming(origin: str) -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        sentence = " ".join(str(error).split())  # the names in a hostile file may hold line ends
        raise ModelError(f"{origin}: {sentence}") from error


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).partition("\n")[0]
