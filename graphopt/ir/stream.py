"""A model's protobuf written piece by piece, its large tensors straight from memory.

Serializing a ModelProto copies each weight three times: into the TensorProto, into the serialized bytes, into the
file. Protobuf's wire format needs none of that: a message is the concatenation of its fields, in any order
(protobuf encoding, "Field Order"), and a field of bytes is a tag, a length and the bytes.
"""

from __future__ import annotations

from typing import BinaryIO

import onnx
import onnx_ir as ir

SMALLEST_STREAMED = 1024  # bytes; smaller tensors are copied
_LENGTH_DELIMITED = 2


def write_model(model: ir.Model, file: BinaryIO, most_bytes: int) -> None:
    """Write a model as a ModelProto, and use it up: it is left without its large initializers.

    Raises:
        ValueError: it takes more than `most_bytes`, which no reader of protobuf would accept; nothing is written.

    """
    initializers = model.graph.initializers
    streamed = [name for name, value in initializers.items() if _is_streamed(value.const_value)]
    tensors = [tensor for name in streamed if (tensor := initializers.pop(name).const_value) is not None]
    proto = ir.to_proto(model)
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    head = proto.SerializeToString()
    pieces = [_start_of(tensor) for tensor in tensors]
    inner = len(graph) + sum(len(piece) + tensor.nbytes for piece, tensor in zip(pieces, tensors, strict=True))
    start = _field(onnx.ModelProto.GRAPH_FIELD_NUMBER, inner)
    if len(head) + len(start) + inner > most_bytes:
        raise ValueError("the model exceeds the size of a protobuf")
    file.write(head + start + graph)
    for piece, tensor in zip(pieces, tensors, strict=True):
        file.write(piece)
        write_tensor(tensor, file)


def write_tensor(tensor: ir.TensorProtocol, file: BinaryIO) -> None:
    """Write the bytes of a tensor as ONNX stores them: little-endian, 4-bit elements packed (`raw_data`)."""
    if isinstance(tensor, ir.Tensor | ir.ExternalTensor):  # these do not copy
        tensor.tofile(file)
    else:
        file.write(tensor.tobytes())


def _is_streamed(tensor: ir.TensorProtocol | None) -> bool:
    """Whether a tensor is large, and its bytes are to be in this file."""
    return (
        tensor is not None
        and not isinstance(tensor, ir.ExternalTensor)
        and tensor.dtype is not ir.DataType.STRING
        and tensor.nbytes >= SMALLEST_STREAMED
    )


def _start_of(tensor: ir.TensorProtocol) -> bytes:
    """Return the field of an initializer in a GraphProto, up to where its data begin."""
    proto = onnx.TensorProto(name=tensor.name or "", data_type=int(tensor.dtype), dims=tensor.shape.numpy())
    if tensor.doc_string:
        proto.doc_string = tensor.doc_string
    for key, text in tensor.metadata_props.items():
        proto.metadata_props.add(key=key, value=text)
    start = proto.SerializeToString() + _field(onnx.TensorProto.RAW_DATA_FIELD_NUMBER, tensor.nbytes)
    return _field(onnx.GraphProto.INITIALIZER_FIELD_NUMBER, len(start) + tensor.nbytes) + start


def _field(number: int, length: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    """Encode seven bits a byte, the lowest first, the high bit saying that more follow."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
