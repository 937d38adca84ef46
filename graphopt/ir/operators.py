"""What the operator schemas of ONNX say about a node: known, in its opset, with the right arity and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import onnx
import onnx.helper
import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.walk import STANDARD_DOMAINS, is_op, label

OLDEST_OPSET = 7
NEWEST_OPSET = int(onnx.defs.onnx_opset_version())
_OPTIONAL = onnx.defs.OpSchema.FormalParameterOption.Optional
# Domains without ONNX schemas whose operators onnxruntime brings along.
ONNXRUNTIME_DOMAINS = frozenset({"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})


class Signature(NamedTuple):
    """What a schema asks of a node; `optional` are the inputs that may be left empty between others."""

    inputs: range
    outputs: range
    optional: frozenset[int]
    attributes: Mapping[str, ir.AttributeType]
    required: frozenset[str]
    deprecated: bool


@cache
def schema_domains() -> frozenset[str]:
    """Return the domains that the installed onnx has schemas for."""
    return frozenset(schema.domain for schema in onnx.defs.get_all_schemas())


@cache
def signature(domain: str, op_type: str, version: int) -> Signature | None:
    """Return what ONNX says about an operator in an opset version, or None where it knows none."""
    try:
        schema = onnx.defs.get_schema(op_type, version, "" if domain in STANDARD_DOMAINS else domain)
    except onnx.defs.SchemaError:
        return None
    return Signature(
        inputs=range(schema.min_input, schema.max_input + 1),
        outputs=range(schema.min_output, schema.max_output + 1),
        optional=frozenset(index for index, item in enumerate(schema.inputs) if item.option == _OPTIONAL),
        attributes={name: _attribute_type(item.type) for name, item in schema.attributes.items()},
        required=frozenset(name for name, item in schema.attributes.items() if item.required),
        deprecated=schema.deprecated,
    )


@cache
def since_version(op_type: str, opset: int) -> int | None:
    """Return the version in which an operator of `ai.onnx` got the form that it has in `opset`, or None."""
    try:
        return int(onnx.defs.get_schema(op_type, opset).since_version)
    except onnx.defs.SchemaError:
        return None


def is_new_default(op_type: str, name: str, attribute: ir.Attr, newer: int, older: int) -> bool:
    """Whether an attribute of a standard operator, unknown in the older opset, holds its default in the newer."""
    try:
        known, declared = (onnx.defs.get_schema(op_type, version).attributes for version in (older, newer))
    except onnx.defs.SchemaError:
        return False
    if name in known or name not in declared or attribute.is_ref():
        return False
    default = declared[name].default_value
    if default.type == onnx.AttributeProto.UNDEFINED:
        return False
    value = onnx.helper.get_attribute_value(default)
    return bool((value.decode() if isinstance(value, bytes) else value) == attribute.value)


@cache
def default_attributes(op_type: str, domain: str, version: int) -> Mapping[str, ir.Attr]:
    """Return the attributes of an operator that its schema gives a default to, as they are by default."""
    try:
        declared = onnx.defs.get_schema(op_type, version, domain).attributes
    except onnx.defs.SchemaError:
        return {}
    given = (item.default_value for item in declared.values())
    return {proto.name: ir.from_proto(proto) for proto in given if proto.type != onnx.AttributeProto.UNDEFINED}


@cache
def input_types(op_type: str, opset: int) -> tuple[tuple[frozenset[str], ...], bool]:
    """Return the types that each input of a standard operator takes, as texts, and whether the last one repeats."""
    try:
        return _formal_types(onnx.defs.get_schema(op_type, opset).inputs)
    except onnx.defs.SchemaError:
        return (), False


@cache
def output_types(op_type: str, opset: int) -> tuple[tuple[frozenset[str], ...], bool]:
    """Return the types that each output of a standard operator may have, as `input_types` does."""
    try:
        return _formal_types(onnx.defs.get_schema(op_type, opset).outputs)
    except onnx.defs.SchemaError:
        return (), False


def _formal_types(
    formals: Sequence[onnx.defs.OpSchema.FormalParameter],
) -> tuple[tuple[frozenset[str], ...], bool]:
    repeats = bool(formals) and formals[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    return tuple(frozenset(item.types) for item in formals), repeats


def accepts(node: ir.Node, index: int, kind: ir.TypeProtocol, opset: int) -> bool:
    """Whether a standard operator takes values of a type as its input `index`."""
    types, repeats = input_types(node.op_type, opset)
    if index >= len(types) and not repeats:
        return False
    return _type_text(kind) in types[min(index, len(types) - 1)]


def makes(node: ir.Node, index: int, kind: ir.TypeProtocol, opset: int) -> bool:
    """Whether the output `index` of a standard operator may have a type."""
    types, repeats = output_types(node.op_type, opset)
    if index >= len(types) and not repeats:
        return False
    return _type_text(kind) in types[min(index, len(types) - 1)]


def check_types(node: ir.Node, opset: int) -> None:
    """Refuse a standard node that reads a value of a type that `opset` does not let it; raises ModelError."""
    if node.domain not in STANDARD_DOMAINS:
        return
    for index, value in enumerate(node.inputs):
        if value is not None and value.type is not None and not accepts(node, index, value.type, opset):
            raise ModelError(f"{node.op_type} takes no {_type_text(value.type)} as its input {index} in opset {opset}")


def _type_text(kind: ir.TypeProtocol) -> str:
    """Write a type as the schemas do: `tensor(float)`, `seq(tensor(float))`."""
    match kind:
        case ir.SequenceType():
            return f"seq({_type_text(kind.elem_type)})"
        case ir.OptionalType():
            return f"optional({_type_text(kind.elem_type)})"
        case ir.SparseTensorType():
            return f"sparse_tensor({kind.dtype.name.lower()})"
        case _:
            return f"tensor({kind.dtype.name.lower()})"


def _attribute_type(kind: onnx.defs.OpSchema.AttrType) -> ir.AttributeType:
    return ir.AttributeType[str(kind).rpartition(".")[-1]]


def check_opset(imports: Mapping[str, int], where: str) -> None:
    """Refuse an `ai.onnx` version outside of what the installed onnx and graphopt know; raises ModelError."""
    version = imports.get("")
    if version is not None and not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise ModelError(
            f"{where} uses opset {version}, outside of {OLDEST_OPSET} to {NEWEST_OPSET}; "
            "convert it with onnx.version_converter, or export it at another opset"
        )


def check_node(
    node: ir.Node, imports: Mapping[str, int], functions: Mapping[ir.OperatorIdentifier, ir.Function]
) -> None:
    """Check one node against its function or its schema.

    Raises:
        ModelError: unknown domain or operator, a domain without an import, wrong number of inputs or
            outputs, a missing, unknown or mistyped attribute.

    """
    version = imports.get(node.domain)
    if version is None:
        raise ModelError(f"node {label(node)} is of domain {node.domain!r}, which is not imported; import its opset")
    function = functions.get(node.op_identifier())
    if function is not None:
        _check_call(node, function, functions)
    elif node.domain in STANDARD_DOMAINS or node.domain in schema_domains():  # listing all schemas takes 20 ms
        _check_signature(node, version)
    elif node.domain not in ONNXRUNTIME_DOMAINS:
        raise ModelError(
            f"node {label(node)} is of the unknown domain {node.domain!r}; define it as a model-local function"
        )


def _check_call(node: ir.Node, function: ir.Function, functions: Mapping[ir.OperatorIdentifier, ir.Function]) -> None:
    if len(node.inputs) > len(function.inputs) or len(node.outputs) > len(function.outputs):
        raise ModelError(
            f"node {label(node)} passes {len(node.inputs)} inputs and takes {len(node.outputs)} outputs where "
            f"function {function.name!r} has {len(function.inputs)} and {len(function.outputs)}; mend the call"
        )
    for index, value in enumerate(function.inputs):
        given = node.inputs[index] if index < len(node.inputs) else None
        reader = _who_needs(value, function, functions) if given is None else None
        if reader is not None:
            raise ModelError(
                f"node {label(node)} leaves its input {index} empty, which node {label(reader)} of function "
                f"{function.name!r} needs; connect it"
            )


def _who_needs(
    value: ir.Value, function: ir.Function, functions: Mapping[ir.OperatorIdentifier, ir.Function]
) -> ir.Node | None:
    """Return a node of a function's body that cannot do without an input, None where all can."""
    for reader, index in value.uses():
        called = functions.get(reader.op_identifier())
        if called is not None:
            needed = index < len(called.inputs) and _who_needs(called.inputs[index], called, functions) is not None
        else:
            known = signature(reader.domain, reader.op_type, function.opset_imports.get(reader.domain, 0))
            needed = known is not None and index not in known.optional
        if needed:
            return reader
    return None


def _check_signature(node: ir.Node, version: int) -> None:
    known = signature(node.domain, node.op_type, version)
    if known is None or known.deprecated:
        state = "unknown to" if known is None else "deprecated in"
        domain = node.domain or "ai.onnx"
        raise ModelError(f"node {label(node)} is {state} opset {version} of {domain!r}; convert the model")
    _check_count(node, "inputs", len(node.inputs), known.inputs)
    _check_count(node, "outputs", len(node.outputs), known.outputs)
    for index, value in enumerate(node.inputs):
        if value is None and index not in known.optional:
            raise ModelError(f"node {label(node)} leaves its input {index} empty, which it needs; connect it")
    given = node.attributes.data
    for name, attribute in given.items():
        expected = known.attributes.get(name)
        if expected is None:
            raise ModelError(f"node {label(node)} has the attribute {name!r}, unknown at opset {version}; drop it")
        if attribute.type is not expected:
            raise ModelError(
                f"attribute {name!r} of node {label(node)} is of type {attribute.type.name}, "
                f"not {expected.name}; mend it"
            )
    if len(given) != 1 and is_op(node, "Constant"):
        raise ModelError(f"node {label(node)} has {len(given)} values where a Constant has one; mend it")
    for name in known.required:
        if name not in given:
            raise ModelError(f"node {label(node)} lacks its required attribute {name!r}; add it")


def _check_count(node: ir.Node, what: str, count: int, allowed: range) -> None:
    if count not in allowed:
        wanted = f"{allowed.start}" if len(allowed) == 1 else f"{allowed.start} to {allowed.stop - 1}"
        raise ModelError(f"node {label(node)} has {count} {what} where its operator takes {wanted}; mend the node")
