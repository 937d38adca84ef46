"""Tensors at rest: where a model keeps them, inline ones wrapped once, external ones checked before use."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.serde import TensorProtoTensor

from graphopt.errors import ModelError
from graphopt.ir.walk import scopes

LARGEST_TENSOR = 1 << 47  # bytes a process can address on the 64-bit machines of today
_NATIVE = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.INT64, ir.DataType.INT8})
INLINE_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


@dataclass(frozen=True)
class Slot:
    """A place that holds a tensor: an initializer, or (one of) the tensors of a node's attribute."""

    owner: ir.Value | ir.Node
    attribute: str = ""
    index: int = 0

    @property
    def tensor(self) -> ir.TensorProtocol:
        """The tensor that lies here."""
        if isinstance(self.owner, ir.Value):
            if self.owner.const_value is None:
                raise ValueError(f"{self.owner.name!r} holds no tensor")
            return self.owner.const_value
        return _attribute_tensors(self.owner.attributes[self.attribute])[self.index]

    def put(self, tensor: ir.TensorProtocol) -> None:
        """Lay another tensor here."""
        if isinstance(self.owner, ir.Value):
            self.owner.const_value = tensor
            return
        old = self.owner.attributes[self.attribute]
        tensors = list(_attribute_tensors(old))
        tensors[self.index] = tensor
        value = tensor if old.type is ir.AttributeType.TENSOR else tensors
        self.owner.attributes[self.attribute] = ir.Attr(old.name, old.type, value, doc_string=old.doc_string)


def slots(model: ir.Model) -> Iterator[Slot]:
    """Yield every place that holds a tensor, in an order that a clone of the model shares."""
    for scope in scopes(model):
        if isinstance(scope, ir.Graph):
            yield from (Slot(value) for value in scope.initializers.values() if value.const_value is not None)
        for node in scope:
            for name, attribute in tuple(node.attributes.items()):
                yield from (Slot(node, name, index) for index in range(len(_attribute_tensors(attribute))))


def size_in_bytes(shape: ir.Shape, dtype: ir.DataType) -> int | None:
    """Return the bytes that a value of this shape takes when dense, or None when a dimension is unknown."""
    dims = [dim for dim in shape if isinstance(dim, int)]
    return math.ceil(math.prod(dims) * dtype.bitwidth / 8) if len(dims) == len(shape) else None


def wrap_inline(model: ir.Model) -> None:
    """Give every inline tensor one array that is made now: onnx_ir's own wrapper copies at each `numpy()`.

    Raises:
        ModelError: a tensor's data do not fill its declared shape.

    """
    for slot in slots(model):
        if isinstance(slot.tensor, TensorProtoTensor):
            slot.put(_wrapped(slot.tensor))


def check_external(model: ir.Model, folder: Path | None) -> None:
    """Anchor external tensors in `folder` and check that each lies inside it, whole.

    With no folder (a model that never was a file) the tensors' own base directories serve.

    Raises:
        ModelError: a location leaves the folder (by `..`, absolutely, by a symbolic or a hard link), is
            missing, or holds fewer bytes than the tensor.

    """
    for tensor in (slot.tensor for slot in slots(model)):
        if isinstance(tensor, ir.ExternalTensor):
            name, location = tensor.name, str(tensor.location)
            if folder is not None:
                tensor.base_dir = folder
            elif not tensor.base_dir:
                raise ModelError(f"tensor {name!r} lies in the file {location!r}; load the model from its path")
            try:
                _check_file(tensor)
            except ModelError as error:
                raise ModelError(f"the external data {location!r} of tensor {name!r} {error}") from error


def _check_file(tensor: ir.ExternalTensor) -> None:
    base, location = Path(tensor.base_dir), Path(tensor.location)
    path = base / location
    if location.is_absolute() or ".." in location.parts or not path.resolve().is_relative_to(base.resolve()):
        raise ModelError(f"would be read outside of {str(base)!r}; copy the file next to the model")
    if not path.is_file():
        raise ModelError(f"is missing in {str(base)!r}; put the file next to the model")
    status = path.stat()
    if status.st_nlink > 1:
        raise ModelError("is a hard link, which may reach out of the folder; replace it by a copy")
    needed = _checked_size(tensor)
    offset, length = tensor.offset or 0, tensor.length
    if length is not None and length != needed:
        raise ModelError(f"has {length} bytes where its shape {tensor.shape} asks for {needed}; export the model again")
    if offset < 0 or offset + needed > status.st_size:
        raise ModelError(f"has {status.st_size} bytes, short of the {offset + needed} needed; download the file again")


def _attribute_tensors(attribute: ir.Attr) -> tuple[ir.TensorProtocol, ...]:
    if attribute.is_ref():
        return ()
    # Not as_tensor(): it asks a protocol of thirty members whether the tensor is one.
    if attribute.type is ir.AttributeType.TENSOR:
        return (attribute.value,)
    return tuple(attribute.value) if attribute.type is ir.AttributeType.TENSORS else ()


def _wrapped(tensor: TensorProtoTensor) -> ir.TensorProtocol:
    """Refuse missing data too, which onnx_ir takes for zeros of any size, however huge."""
    needed = _checked_size(tensor)
    proto = tensor.raw
    data = proto.raw_data if proto.HasField("raw_data") else None  # each access copies it
    if data is not None and len(data) != needed:
        raise ModelError(
            f"tensor {tensor.name!r} of shape {tensor.shape} needs {needed} bytes and holds {len(data)}; "
            "export it again"
        )
    if data is not None and tensor.dtype in _NATIVE:
        array = np.frombuffer(data, tensor.dtype.numpy()).reshape(proto.dims)
        return ir.Tensor(array, dtype=tensor.dtype, name=tensor.name, doc_string=tensor.doc_string)
    if data is None and needed and not any(len(getattr(proto, field)) for field in INLINE_FIELDS):
        raise ModelError(f"tensor {tensor.name!r} of shape {tensor.shape} holds no data; export it again")
    try:
        array = tensor.numpy()
    except (ValueError, TypeError, AssertionError) as error:
        raise ModelError(f"tensor {tensor.name!r} of shape {tensor.shape} holds other data; export it again") from error
    return ir.Tensor(array, dtype=tensor.dtype, name=tensor.name, doc_string=tensor.doc_string)


def _checked_size(tensor: ir.TensorProtocol) -> int:
    if tensor.dtype is ir.DataType.UNDEFINED:
        raise ModelError(f"tensor {tensor.name!r} has no data type; export it again")
    shape = ir.Shape(tensor.shape.numpy())
    size = size_in_bytes(shape, tensor.dtype)
    if size is None or any(isinstance(dim, int) and dim < 0 for dim in shape):
        raise ModelError(f"tensor {tensor.name!r} has the impossible shape {shape}; export it again")
    if size > LARGEST_TENSOR:
        raise ModelError(f"tensor {tensor.name!r} of shape {shape} is larger than any memory; export it again")
    return size


def constant_bytes(model: ir.Model) -> int:
    """Return how many bytes all constants of a model take."""
    return sum(slot.tensor.nbytes for slot in slots(model))
