"""Broken models by chance: a valid one with a few fields of its protobuf, or a few of its bytes, changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

INTEGERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 8, 19, 2**31 - 1, 2**40, 2**63 - 1)
FLOATS = (float("nan"), float("inf"), -0.0, 1e-45, 3e38)
TEXTS = ("", "x", "y", "no such name", "../x", "a\0b", 'é"\n', "N" * 300)


def mutated(model: onnx.ModelProto, rng: Random) -> bytes:
    """Return the bytes of a model with one to three changes; half of the time of fields, else of bytes."""
    if rng.random() < 0.25:
        return _mutate_bytes(model.SerializeToString(), rng)
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    for _ in range(rng.randint(1, 3)):
        owner, field = rng.choice(list(_fields(broken)))
        if field.is_repeated:
            _mutate_list(owner, field, rng)
        else:
            _mutate_field(owner, field, rng)
    return broken.SerializeToString()


def _mutate_bytes(data: bytes, rng: Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(broken) + 1)
        end = min(len(broken), start + rng.choice((0, 1, 1, 1, 4, 64)))
        broken[start:end] = rng.choice((b"", rng.randbytes(1), b"\xff" * 9, broken[:end][-16:]))
    return bytes(broken)


def _fields(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Yield every field, set or not, of every message within."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from _fields(inner)


def _mutate_field(owner: Message, field: FieldDescriptor, rng: Random) -> None:
    if field.message_type is not None or rng.random() < 0.2:
        owner.ClearField(field.name)
    else:
        _set(lambda value: setattr(owner, field.name, value), field, rng)


def _mutate_list(owner: Message, field: FieldDescriptor, rng: Random) -> None:
    elements: Any = getattr(owner, field.name)
    if not elements:
        if field.message_type is None:
            _set(elements.append, field, rng)
        return
    index = rng.randrange(len(elements))
    change = rng.choice(("drop", "duplicate", "swap", "set"))
    if change == "drop":
        del elements[index]
    elif change == "duplicate":
        elements.extend([elements[index]])
    elif change == "swap":
        kept = [type(element)() if field.message_type else element for element in elements]
        if field.message_type:
            for copy, element in zip(kept, elements, strict=True):
                copy.CopyFrom(element)
        kept.insert(0, kept.pop(index))
        del elements[:]
        elements.extend(kept)
    elif field.message_type is None:
        _set(lambda value: elements.__setitem__(index, value), field, rng)


def _set(store: Callable[[Any], None], field: FieldDescriptor, rng: Random) -> None:
    store(_value(field, rng))


def _value(field: FieldDescriptor, rng: Random) -> object:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            text = rng.choice(TEXTS)
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        case FieldDescriptor.CPPTYPE_ENUM:
            return rng.choice(field.enum_type.values).number
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return rng.choice(FLOATS)
        case FieldDescriptor.CPPTYPE_UINT64:
            return abs(rng.choice(INTEGERS))
        case FieldDescriptor.CPPTYPE_INT32:
            return rng.choice([number for number in INTEGERS if -(2**31) <= number < 2**31])
        case _:
            return rng.choice(INTEGERS)
