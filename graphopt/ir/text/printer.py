"""Print a model in ONNX's textual syntax, so that people can read it and the parser can read it back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import onnx_ir as ir

from graphopt.ir.text.literals import (
    dotted,
    floats,
    identifier,
    name,
    quoted,
    tensor_data,
    tensor_type,
    type_text,
)
from graphopt.ir.walk import is_op

INDENT = "  "


def format_model(model: ir.Model, *, max_elements: int | None = 8) -> str:
    """Return the text of a model.

    Constants of more than `max_elements` elements are declared without their data, so that parsing the text
    gives them seeded data; None prints all data, and parsing then gives an equal model, but for the payload of
    a NaN and the documentation of single values. Names that onnx_ir made up for nodes are left out.
    """
    return _Printer(max_elements).model(model)


class _Printer:
    def __init__(self, max_elements: int | None) -> None:
        self._max_elements = max_elements

    def model(self, model: ir.Model) -> str:
        fields = _header(model)
        lines = ["<", *_listed(fields), ">", *self._graph(model.graph, name(model.graph.name or "graph"))]
        for function in model.functions.values():
            lines += ["", *self._function(function)]
        return "\n".join(lines) + "\n"

    def _graph(self, graph: ir.Graph, title: str, margin: str = "") -> Iterator[str]:
        """Yield the lines of a graph; the first, which may continue another, has no margin."""
        inputs = ", ".join(self._input(value) for value in graph.inputs)
        outputs = ", ".join(_declaration(value) for value in graph.outputs)
        yield f"{title} ({inputs}) => ({outputs})"
        constants = [
            self._constant(name(key), value.const_value)
            for key, value in graph.initializers.items()
            if value.const_value is not None and not value.is_graph_input()
        ]
        hoisted = {node: None for node in graph if self._is_hoisted(node)}
        constants += [_declaration_of(node.outputs[0].name, node.attributes["value"].as_tensor()) for node in hoisted]
        yield from _angled([*constants, *_value_types(graph)], margin)
        yield from self._body((node for node in graph if node not in hoisted), margin)

    def _function(self, function: ir.Function) -> Iterator[str]:
        fields = [f"domain: {quoted(dotted(function.domain))}", f"opset_import: [{_imports(function.opset_imports)}]"]
        if function.overload:
            fields.append(f"overload: {quoted(function.overload)}")
        if function.doc_string:
            fields.append(f"doc_string: {quoted(function.doc_string)}")
        yield from ("<", *_listed(fields), ">")
        parameters = [
            identifier(key) if attribute.value is None else self._attribute(attribute)
            for key, attribute in sorted(function.attributes.items(), key=lambda item: item[1].value is not None)
        ]
        title = name(function.name) + (f" <{', '.join(parameters)}>" if parameters else "")
        inputs, outputs = (", ".join(map(_declaration, values)) for values in (function.inputs, function.outputs))
        yield f"{title} ({inputs}) => ({outputs})"
        yield from _angled(_value_types(function))
        yield from self._body(function)

    def _body(self, nodes: Iterable[ir.Node], margin: str = "") -> Iterator[str]:
        yield margin + "{"
        yield from (margin + INDENT + self._node(node, margin + INDENT) for node in nodes)
        yield margin + "}"

    def _node(self, node: ir.Node, margin: str) -> str:
        title = "" if _is_made_up(node) else f"[{quoted(node.name or '')}] "
        outputs = ", ".join(name(value.name or "") for value in node.outputs)
        operator = ".".join(filter(None, (dotted(node.domain), node.op_type)))
        overload = f":{node.overload}" if node.overload else ""
        attributes = ", ".join(self._attribute(attribute, margin) for attribute in node.attributes.values())
        inputs = ", ".join('""' if value is None else name(value.name or "") for value in node.inputs)
        between = f" <{attributes}> " if attributes else " "
        return f"{title}{outputs} = {operator}{overload}{between}({inputs})"

    def _input(self, value: ir.Value) -> str:
        tensor = value.const_value if value.is_initializer() else None
        shown = tensor is not None and self._shows(tensor)
        return _declaration(value) + (f" = {tensor_data(tensor)}" if tensor is not None and shown else "")

    def _constant(self, key: str, tensor: ir.TensorProtocol) -> str:
        data = f" = {tensor_data(tensor)}" if self._shows(tensor) else ""
        return f"{tensor_type(tensor.dtype, ir.Shape(tensor.shape.numpy()))} {key}{data}"

    def _shows(self, tensor: ir.TensorProtocol) -> bool:
        return self._max_elements is None or tensor.size <= self._max_elements

    def _is_hoisted(self, node: ir.Node) -> bool:
        """Whether to declare a Constant's output among the constants, as its data are too many to show."""
        attribute = node.attributes.get("value") if is_op(node, "Constant") else None
        return attribute is not None and not attribute.is_ref() and not self._shows(attribute.as_tensor())

    def _attribute(self, attribute: ir.Attr, margin: str = "") -> str:
        key, kind = identifier(attribute.name), attribute.type
        if attribute.is_ref():
            return f"{key}: {kind.name.lower()} = @{name(attribute.ref_attr_name or '')}"
        match kind:
            case ir.AttributeType.INT:
                return f"{key} = {attribute.as_int()}"
            case ir.AttributeType.FLOAT:
                return f"{key} = {floats([attribute.as_float()])[0]}"
            case ir.AttributeType.STRING:
                return f"{key} = {_string(attribute.value)}"
            case ir.AttributeType.TENSOR:
                return f"{key} = {self._tensor(attribute.as_tensor())}"
            case ir.AttributeType.GRAPH:
                graph = attribute.as_graph()
                return f"{key} = " + "\n".join(self._graph(graph, identifier(graph.name or "graph"), margin))
            case ir.AttributeType.TYPE_PROTO:
                return f"{key}: type_proto = {type_text(attribute.value.type, attribute.value.shape)}"
            case _:
                return f"{key}: {kind.name.lower()} = [{', '.join(self._items(attribute))}]"

    def _items(self, attribute: ir.Attr) -> list[str]:
        match attribute.type:
            case ir.AttributeType.FLOATS:
                return floats(attribute.as_floats())
            case ir.AttributeType.INTS:
                return list(map(str, attribute.as_ints()))
            case ir.AttributeType.STRINGS:
                return list(map(_string, attribute.value))
            case ir.AttributeType.TENSORS:
                return list(map(self._tensor, attribute.as_tensors()))
            case _:
                return list(map(str, attribute.value or ()))

    def _tensor(self, tensor: ir.TensorProtocol) -> str:
        title = f" {name(tensor.name)} =" if tensor.name else ""
        return f"{tensor_type(tensor.dtype, ir.Shape(tensor.shape.numpy()))}{title} {tensor_data(tensor)}"


def _header(model: ir.Model) -> list[str]:
    metadata = ", ".join(f"{quoted(key)}: {quoted(value)}" for key, value in model.metadata_props.items())
    fields = {
        "ir_version": str(model.ir_version),
        "opset_import": f"[{_imports(model.opset_imports)}]",
        "producer_name": model.producer_name and quoted(model.producer_name),
        "producer_version": model.producer_version and quoted(model.producer_version),
        "domain": model.domain and quoted(model.domain),
        "model_version": model.model_version and str(model.model_version),
        "doc_string": model.doc_string and quoted(model.doc_string),
        "metadata_props": metadata and f"[{metadata}]",
    }
    return [f"{key}: {text}" for key, text in fields.items() if text]


def _imports(imports: dict[str, int]) -> str:
    return ", ".join(f"{quoted(dotted(domain))} : {version}" for domain, version in imports.items())


def _value_types(scope: ir.Graph | ir.Function) -> list[str]:
    outputs = set(scope.outputs)
    return [
        _declaration(value)
        for node in scope
        for value in node.outputs
        if value.name and value.type is not None and value not in outputs
    ]


def _declaration(value: ir.Value) -> str:
    typed = "" if value.type is None else f"{type_text(value.type, value.shape)} "
    return typed + name(value.name or "")


def _declaration_of(key: str | None, tensor: ir.TensorProtocol) -> str:
    return f"{tensor_type(tensor.dtype, ir.Shape(tensor.shape.numpy()))} {name(key or '')}"


def _angled(items: list[str], margin: str = "") -> list[str]:
    return [margin + line for line in ("<", *_listed(items), ">")] if items else []


def _listed(items: list[str]) -> list[str]:
    return [f"{INDENT}{item}," for item in items[:-1]] + [f"{INDENT}{item}" for item in items[-1:]]


def _is_made_up(node: ir.Node) -> bool:
    return not node.name or re.fullmatch(rf"node_{re.escape(node.op_type)}_\d+", node.name) is not None


def _string(value: str | bytes) -> str:
    return quoted(value if isinstance(value, str) else value.decode(errors="replace"))
