"""The small models that come in the onnx wheel, exported by PyTorch at opset 6 or written by hand, with answers."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from tests.conformance.cases import Case

FOLDER = Path(str(onnx.__file__)).parent / "backend" / "test" / "data"
KINDS = ("simple", "pytorch-converted", "pytorch-operator")


@functools.cache
def wheel_models() -> tuple[Case, ...]:
    """Read every model with its first set of data."""
    return tuple(_case(path) for kind in KINDS for path in sorted((FOLDER / kind).glob("*/model.onnx")))


def _case(path: Path) -> Case:
    model = onnx.load(path)
    defaults = {tensor.name for tensor in model.graph.initializer}
    inputs = _read(path.parent, "input", (item for item in model.graph.input if item.name not in defaults))
    answer = _read(path.parent, "output", model.graph.output)
    return Case(path.parent.name, model, list(inputs.values()), answer)


def _read(folder: Path, kind: str, declared: Iterable[onnx.ValueInfoProto]) -> dict[str, Any]:
    files = folder / "test_data_set_0"
    return {item.name: _data(files / f"{kind}_{index}.pb", item) for index, item in enumerate(declared)}


def _data(path: Path, item: onnx.ValueInfoProto) -> Any:
    if item.type.HasField("sequence_type"):
        sequence = onnx.SequenceProto()
        sequence.ParseFromString(path.read_bytes())
        return numpy_helper.to_list(sequence)
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)
