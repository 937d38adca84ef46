"""Parse ONNX's textual syntax, completed by what a test should not have to spell out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import onnx
import onnx.parser
import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.load import from_proto
from graphopt.ir.text.constants import fill_constants, subgraphs

OLDEST_IR_VERSION = 10  # the first with types inside of functions
POSITION = re.compile(r"position \(line: (\d+) column: (\d+)\)\]\s*(?:Error context: (.*?)\n)?(.*)", re.DOTALL)
# What the parser throws besides its own error: numbers that do not fit, strings that are no text.
FAILURES = (onnx.parser.ParseError, ValueError, IndexError, RuntimeError, OverflowError)


def parse_model(text: str, *, seed: int = 0, opset: int = 17) -> ir.Model:
    """Parse a model.

    Without a header (`<ir_version: …, opset_import: […]>`) the model imports `opset` of `ai.onnx` and
    version 1 of every other domain that it uses, and so does a function without imports. What the angle
    brackets after a graph's signature declare, no node produces and no data follow becomes a constant with
    data that depend on its name and `seed` alone. The model is not verified.

    Raises:
        ModelError: a syntax error, with its line and column; a name defined twice or nowhere.

    """
    header = "" if _has_header(text) else f'<ir_version: {OLDEST_IR_VERSION}, opset_import: ["" : {opset}]> '
    try:
        proto = onnx.parser.parse_model(header + text)
    except FAILURES as error:
        raise ModelError(_explain(error, header)) from error
    if header:
        _import_domains(proto, proto.graph.node)
    for function in proto.functions:
        if not function.opset_import:
            function.opset_import.add(domain="", version=opset)
            _import_domains(function, function.node)
    fill_constants(proto.graph, seed)
    try:
        return from_proto(proto, None)
    except ModelError as error:
        raise ModelError(f"text: {error}") from error


def _has_header(text: str) -> bool:
    return re.match(r"(\s|#[^\n]*\n)*<", text) is not None


def _explain(error: Exception, header: str) -> str:
    message = error.args[0] if error.args else ""
    message = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    found = POSITION.search(message)
    if found is None:
        return f"text: a number or string does not parse ({' '.join(message.split())}); correct the text"
    line, column, context, what = int(found[1]), int(found[2]), found[3], " ".join(found[4].split()).rstrip(".")
    column -= len(header) if line == 1 else 0
    context = (context or "").removeprefix(header.rstrip()).strip()[-80:]
    return f"text, line {line}, column {column}: {what or 'syntax error'}; correct {context!r}"


def _import_domains(owner: onnx.ModelProto | onnx.FunctionProto, nodes: Iterable[onnx.NodeProto]) -> None:
    known = {item.domain for item in owner.opset_import}
    for domain in dict.fromkeys(_domains(nodes)):
        if domain not in known:
            owner.opset_import.add(domain=domain, version=1)


def _domains(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        if node.domain != "ai.onnx":
            yield node.domain
        for subgraph in subgraphs(node):
            yield from _domains(subgraph.node)
