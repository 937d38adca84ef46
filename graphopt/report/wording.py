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
            text = f"{len(attribute.as_graph())} nodes"
        case ir.AttributeType.GRAPHS:
            text = f"graphs of {', '.join(str(len(graph)) for graph in attribute.as_graphs())} nodes"
        case ir.AttributeType.TENSOR:
            text = _tensor(attribute.as_tensor())
        case ir.AttributeType.FLOAT:
            text = f"{attribute.as_float():.7g}"
        case ir.AttributeType.STRING:
            text = _string(attribute.value)
        case ir.AttributeType.FLOATS:
            text = f"[{', '.join(f'{number:.7g}' for number in attribute.as_floats()[:LONGEST])}]"
        case ir.AttributeType.INTS:
            text = str(list(attribute.as_ints()[:LONGEST]))
        case ir.AttributeType.STRINGS:
            text = str([_string(one) for one in attribute.value[:LONGEST]])
        case _:
            text = str(attribute.value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _tensor(tensor: ir.TensorProtocol) -> str:
    text = content(tensor)
    form = f"{dtype_name(tensor.dtype)}{list(tensor.shape.numpy())}"
    return form if text is None else f"{form} {text}"


def _string(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
