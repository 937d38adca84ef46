"""A good model, and whatever can be made of its file: in a folder, where it is to be read."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser

Arrange = Callable[[Path], Path]
"""Puts a model into a folder and returns the path to hand over."""

OLD = "g (float[N,3] x) => (float[N,3] y) { y = Dropout (x) }"
HEADER = '<ir_version: 9, opset_import: ["" : 17, "own" : 1]>'
GOOD = """
g (float[N,3] x) => (float[N,2] y)
<float[3,2] w = {1, 2, 3, 4, 5, 6}>
{ h = MatMul (x, w)  y = Relu (h) }
"""


def proto(text: str = GOOD, header: str = HEADER) -> onnx.ModelProto:
    return onnx.parser.parse_model(header + text)


def file(data: bytes) -> Arrange:
    def write(folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(data)
        return path

    return write


def graph(text: str, header: str = HEADER) -> Arrange:
    return file(proto(text, header).SerializeToString())


def body(nodes: str) -> Arrange:
    """Return the good graph with other nodes."""
    return graph(GOOD[: GOOD.index("{ h")] + nodes)


def weight(**fields: Any) -> Arrange:
    """Return the good graph with another tensor as its weight, [3,2] in float32 but for what `fields` say."""
    model = proto()
    tensor = onnx.TensorProto(**{"name": "w", "data_type": onnx.TensorProto.FLOAT, "dims": [3, 2]} | fields)
    model.graph.initializer[0].CopyFrom(tensor)
    return file(model.SerializeToString())


def external(location: str, neighbour: Callable[[Path], object] = lambda _: None, **entries: int) -> Arrange:
    """Return the good graph with its weight in a file, which `neighbour` puts into the folder."""
    pairs = {"location": location, **{key: str(number) for key, number in entries.items()}}
    data = [onnx.StringStringEntryProto(key=key, value=text) for key, text in pairs.items()]
    write = weight(data_location=onnx.TensorProto.EXTERNAL, external_data=data)

    def arrange(folder: Path) -> Path:
        neighbour(folder)
        return write(folder)

    return arrange


def zipped(folder: Path) -> Path:
    path = folder / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"weights")
    return path


def nested(depth: int) -> onnx.ModelProto:
    """Return a model with one If in the other, `depth` times."""
    model = proto("g (float[2] x, bool c) => (float[2] y) { y = Identity (x) }")
    inner = model.graph
    for _ in range(depth):
        node = inner.node[0]
        node.op_type, node.input[0] = "If", "c"
        for name in ("else_branch", "then_branch"):
            attribute = node.attribute.add(name=name, type=onnx.AttributeProto.GRAPH)
            inner = attribute.g
            inner.name = name
            inner.node.add(op_type="Identity", input=["x"], output=[f"{name}_{depth}"])
            inner.output.add(name=f"{name}_{depth}")
    return model


F32 = np.float32
X = np.ones((1, 3), F32)
BYTES = proto().SerializeToString()
GOOD_FILE = file(BYTES)
SECRET = bytes(24)
