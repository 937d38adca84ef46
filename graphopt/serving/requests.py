"""Inference requests of the Open Inference Protocol, from a body to arrays.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, and its extension
for binary tensors: a header says how long the JSON is, and behind it the tensors that have `binary_data_size` lie one
after the other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np

from graphopt.errors import RunError
from graphopt.runtime import feeds as feeding
from graphopt.serving.datatypes import datatype_of, dtype_of, element_of, from_bytes, shaped
from graphopt.serving.refusal import bad
from graphopt.tensors import Array, TensorSpec

_RANK = 32
"""Dimensions of a tensor; each makes a type to decode by, of which no client shall ask for many."""
_SPACE = b" \t\r\n"


@dataclass(frozen=True)
class Inference:
    """What a client asks for.

    Attributes:
        id: to be said again in the answer; None where the client gave none.
        feeds: an array for each input of the model, of its dtype and shape.
        outputs: whether each output that is asked for goes into the answer as bytes, by name, in the order asked for.
        timeout: seconds that the client waits; None where it did not say.

    """

    id: str | None
    feeds: dict[str, Array]
    outputs: dict[str, bool]
    timeout: float | None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class _Input(msgspec.Struct):
    name: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    datatype: str
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    outputs: list[_Output] | None = None


_READER = msgspec.json.Decoder(_Request)


def read(body: bytearray, header: str | None, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Inference:
    """Read a request to a model of some inputs and outputs.

    Args:
        body: of the request; arrays of binary tensors are views of it.
        header: what `Inference-Header-Content-Length` says; None where there is no such header.
        inputs, outputs: of the model.

    Raises:
        RefusedError: it is no request, or not one to this model; the sentence names the field.

    """
    length = _length(header, len(body))
    try:
        request = _READER.decode(memoryview(body)[:length])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise bad(f"the request is no inference request: {error}") from error
    arrays = _arrays(request.inputs, memoryview(body)[length:], {spec.name: spec for spec in inputs})
    try:
        feeds = feeding.check(inputs, arrays)
        feeding.check_shapes(inputs, feeds)
    except RunError as error:
        raise bad(str(error)) from error
    return Inference(request.id, feeds, _wanted(request, outputs), _timeout(request.parameters))


def _length(header: str | None, available: int) -> int:
    if header is None:
        return available
    if not (header.isascii() and header.isdigit()) or int(header) > available:
        raise bad(f"Inference-Header-Content-Length is {header!r}, and the body has {available} bytes")
    return int(header)


def _arrays(given: Sequence[_Input], binary: memoryview, specs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    position = 0
    for tensor in given:
        place = f"input {tensor.name!r}"
        if tensor.name in arrays:
            raise bad(f"{place} is given twice")
        _check_type(tensor, specs, place)
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            arrays[tensor.name] = _from_json(tensor, place)
            continue
        if tensor.data is not msgspec.UNSET:
            raise bad(f"{place} has both data and binary_data_size; keep one")
        if type(size) is not int or not 0 <= size <= len(binary) - position:
            raise bad(
                f"binary_data_size of {place} is {size!r}, and {len(binary) - position} bytes are left in the body"
            )
        part = binary[position : position + size]
        arrays[tensor.name] = from_bytes(part, tensor.datatype, tensor.shape, place)
        position += size
    if position != len(binary):
        raise bad(f"the body has {len(binary) - position} bytes more than binary_data_size of its inputs says")
    return arrays


def _check_type(tensor: _Input, specs: Mapping[str, TensorSpec], place: str) -> None:
    if tensor.name not in specs:
        raise bad(f"the model has no {place}; it has {', '.join(map(str, specs.values()))}")
    if tensor.datatype != (expected := datatype_of(specs[tensor.name])):
        raise bad(f"{place} has datatype {tensor.datatype!r}, the model takes {expected}")
    if len(tensor.shape) > _RANK:
        raise bad(f"{place} has {len(tensor.shape)} dimensions; at most {_RANK} are taken")


def _from_json(tensor: _Input, place: str) -> Array:
    if tensor.data is msgspec.UNSET:
        raise bad(f"{place} has neither data nor binary_data_size")
    text = bytes(tensor.data)
    nested = len(tensor.shape) > 1 and text.lstrip(_SPACE)[1:].lstrip(_SPACE)[:1] == b"["
    try:
        rows = _decoder(element_of(tensor.datatype), len(tensor.shape) if nested else 1).decode(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise bad(f"the data of {place} are no {tensor.datatype} {tensor.shape}: {error}") from error
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite in it, as it is for everybody else
            array = np.array(rows, np.float32 if tensor.datatype == "BF16" else dtype_of(tensor.datatype))
    except (ValueError, OverflowError) as error:
        raise bad(f"the data of {place} are no {tensor.datatype} {tensor.shape}: {error}") from error
    if nested and list(array.shape) != tensor.shape[: array.ndim]:  # of [2, 0, 3] two empty lists are all there is
        raise bad(f"the data of {place} are nested as {list(array.shape)}, its shape is {tensor.shape}")
    if not nested and array.size != math.prod(tensor.shape):
        raise bad(f"{place} has {array.size} elements, its shape {tensor.shape} takes another number")
    return shaped(array, tensor.shape, place).astype(dtype_of(tensor.datatype), copy=False)


@functools.cache
def _decoder(element: type, depth: int) -> msgspec.json.Decoder[Any]:
    """Return what reads lists in lists of one kind of element, and nothing else."""
    rows: Any = element
    for _ in range(depth):
        rows = list[rows]
    return msgspec.json.Decoder(rows)


def _wanted(request: _Request, outputs: Sequence[TensorSpec]) -> dict[str, bool]:
    known = [spec.name for spec in outputs]
    default = _flag(request.parameters, "binary_data_output", default=False)
    if not request.outputs:
        return dict.fromkeys(known, default)
    wanted: dict[str, bool] = {}
    for output in request.outputs:
        if output.name not in known:
            raise bad(f"the model has no output {output.name!r}; it has {', '.join(map(str, outputs))}")
        if output.name in wanted:
            raise bad(f"output {output.name!r} is asked for twice")
        wanted[output.name] = _flag(output.parameters, "binary_data", default=default)
    return wanted


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise bad(f"the parameter {name} is {value!r}; it is true or false")
    return value


def _timeout(parameters: Mapping[str, Any]) -> float | None:
    """Read the parameter `timeout`, in microseconds as Triton's extension of the protocol has it; 0 is none."""
    value = parameters.get("timeout", 0)
    if type(value) is not int or value < 0:
        raise bad(f"the parameter timeout is {value!r}; it is a whole number of microseconds")
    return value / 1e6 or None
