"""The attributes of nodes as text, cut short where they are long."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.report.constants import content, dtype_name

LONGEST = 200
"""Characters of a text."""
_GRAPHS = ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS


class Wording:
    """Puts attributes into words, each once."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[ir.Attr, str]] = {}

    def text(self, attribute: ir.Attr) -> str:
        """Return the text of an attribute."""
        if attribute.type in _GRAPHS:
            return _text(attribute)  # whose nodes come and go
        held = self._texts.get(id(attribute))
        if held is None:
            held = self._texts[id(attribute)] = attribute, _text(attribute)
        return held[1]


def _text(attribute: ir.Attr) -> str:
    if attribute.is_ref():
        return f"@{attribute.ref_attr_name}"
    match attribute.type:
        case ir.AttributeType.GRAPH:
            return f"{len(attribute.as_graph())} nodes"
        case ir.AttributeType.GRAPHS:
            return f"graphs of {', '.join(str(len(graph)) for graph in attribute.as_graphs())} nodes"
        case ir.AttributeType.TENSOR:
            return _short(_tensor(attribute.as_tensor()))
        case ir.AttributeType.FLOAT:
            return f"{attribute.as_float():.7g}"
        case ir.AttributeType.STRING:
            return _short(attribute.as_string())
        case ir.AttributeType.FLOATS:
            return _short(f"[{', '.join(f'{number:.7g}' for number in attribute.as_floats()[:LONGEST])}]")
        case ir.AttributeType.INTS:
            return _short(str(list(attribute.as_ints()[:LONGEST])))
        case ir.AttributeType.STRINGS:
            return _short(str(list(attribute.as_strings()[:LONGEST])))
        case _:
            return _short(str(attribute.value))


def _tensor(tensor: ir.TensorProtocol) -> str:
    text = content(tensor)
    form = f"{dtype_name(tensor.dtype)}{list(tensor.shape.numpy())}"
    return form if text is None else f"{form} {text}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
