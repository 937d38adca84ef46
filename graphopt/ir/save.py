"""From the IR to a file, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir
from google.protobuf.message import EncodeError

from graphopt.errors import ModelError, OutputError
from graphopt.files import atomic_path, fsync
from graphopt.ir.stream import write_model, write_tensor
from graphopt.ir.tensors import Slot, slots
from graphopt.ir.walk import scopes

PROTOBUF_LIMIT = 2**31 - 1
HEADROOM = 1 << 26  # bytes, for everything in a protobuf that is no tensor
SMALLEST_EXTERNAL = 1024  # bytes; smaller tensors stay readable in the model file
ALIGNMENT = 4096  # a page, so that a tensor can be mapped by itself


def save(
    model: ir.Model,
    path: str | os.PathLike[str],
    *,
    external_data: bool | None = None,
    smallest_external: int = SMALLEST_EXTERNAL,
) -> None:
    """Write a model; a failure leaves neither a part of it nor a changed file behind.

    With `external_data` the tensors of `smallest_external` bytes and more go to one file beside it,
    `<name>.data`; by default only when a protobuf, limited to 2 GB, could not hold them. Tensors are copied
    one at a time, so memory stays far below the model's size. A model may be saved onto the very file that it
    was loaded from: its tensors then read the new one.

    Raises:
        OutputError: the place is not writable, or the disk is full.
        ModelError: what must stay in the protobuf exceeds 2 GB.

    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"cannot write {str(path)!r}: it is a directory; give a file name")
    if external_data is None:
        external_data = sum(_size(slot) for slot in slots(model)) > PROTOBUF_LIMIT - HEADROOM
    with atomic_path(path) as temporary:
        if external_data:
            _save_in_two_files(model, temporary, path.with_name(f"{path.name}.data"), smallest_external)
        else:
            copy = model.clone()
            _hold_inline(slots(copy))
            _write_protobuf(copy, temporary)


def _save_in_two_files(model: ir.Model, temporary: Path, side: Path, smallest: int) -> None:
    copy = model.clone()
    places = list(zip(slots(model), slots(copy), strict=True))
    moved = [(live, copied) for live, copied in places if _size(live) >= max(smallest, 1)]
    _hold_inline(copied for live, copied in places if _size(live) < max(smallest, 1))
    backed_by_side = [_is_backed_by(live, side) for live, _ in moved]
    with atomic_path(side) as temporary_side:
        with temporary_side.open("wb") as file:
            offsets = _write_tensors(file, [live for live, _ in moved])
        fsync(temporary_side)
        for (live, copied), offset in zip(moved, offsets, strict=True):
            copied.put(_external(live, offset, side))
        _write_protobuf(copy, temporary)
    for (live, copied), replaced in zip(moved, backed_by_side, strict=True):
        if replaced:
            live.put(copied.tensor)


def _hold_inline(places: Iterable[Slot]) -> None:
    """Map what lies in another file, which will not be there beside the new one."""
    for place in places:
        tensor = place.tensor
        if isinstance(tensor, ir.ExternalTensor):
            place.put(ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name, doc_string=tensor.doc_string))


def _write_tensors(file: BinaryIO, places: Sequence[Slot]) -> list[int]:
    offsets = []
    for place in places:
        offset = -(-file.tell() // ALIGNMENT) * ALIGNMENT
        file.seek(offset)
        write_tensor(place.tensor, file)
        offsets.append(offset)
    return offsets


def _write_protobuf(copy: ir.Model, path: Path) -> None:
    _leave_types_to_tensors(copy)
    try:
        with path.open("wb") as file:
            write_model(copy, file, PROTOBUF_LIMIT)
    except (EncodeError, ValueError) as error:
        raise ModelError("the model exceeds the 2 GB of a protobuf; save it with external_data=True") from error
    fsync(path)


def _leave_types_to_tensors(copy: ir.Model) -> None:
    """Forget the types of values that a tensor is written for, which has its own; inputs are declared with theirs."""
    for graph in scopes(copy):
        for value in graph.initializers.values():
            if value.const_value is not None and not value.is_graph_input():
                value.type = value.shape = None


def _external(place: Slot, offset: int, side: Path) -> ir.ExternalTensor:
    tensor = place.tensor
    return ir.ExternalTensor(
        side.name,
        offset,
        tensor.nbytes,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name or "",
        doc_string=tensor.doc_string,
        base_dir=side.absolute().parent,
    )


def _size(place: Slot) -> int:
    """Return the bytes that may move out of the protobuf: strings must stay."""
    tensor = place.tensor
    return 0 if tensor.dtype is ir.DataType.STRING else tensor.nbytes


def _is_backed_by(place: Slot, side: Path) -> bool:
    tensor = place.tensor
    return isinstance(tensor, ir.ExternalTensor) and side.exists() and Path(tensor.path).samefile(side)
