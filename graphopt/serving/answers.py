"""Answers of the Open Inference Protocol, from arrays to a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from graphopt.serving.datatypes import datatype_of, to_bytes
from graphopt.serving.requests import Inference
from graphopt.tensors import Array, TensorSpec


@dataclass(frozen=True)
class Answer:
    """A body, and of how many of its bytes the JSON is that says what follows; None where all of it is JSON."""

    body: bytes
    header: int | None = None


def write(
    inference: Inference, results: Mapping[str, Array], outputs: Sequence[TensorSpec], *, model: str, version: str
) -> Answer:
    """Write the answer to a request: the outputs that it asks for, flat and row-major, as numbers or as bytes.

    NaN and infinities, which JSON has not, are null among numbers; bytes carry them.
    """
    specs = {spec.name: spec for spec in outputs}
    tensors: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, binary in inference.outputs.items():
        array = results[name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatype_of(specs[name]), "shape": list(array.shape)}
        if binary:
            parts.append(to_bytes(array))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            tensor["data"] = _plain(array)
        tensors.append(tensor)
    said: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": tensors}
    if inference.id is not None:
        said["id"] = inference.id
    text = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    return Answer(b"".join((text, *parts)), len(text)) if parts else Answer(text)


def _plain(array: Array) -> Any:
    """Return what JSON can have in it."""
    flat = np.ascontiguousarray(array.reshape(-1))
    if flat.dtype.kind in "OSU":
        return [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in flat.tolist()]
    return flat.astype(np.float32) if flat.dtype.kind == "V" else flat
