"""A planned module as a sequence of calls: which kernels, in which order, each argument at its place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import tvm
from tvm import relax

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.backends.tvm.memory.arena import aligned
from graphopt.backends.tvm.memory.plan import Planned
from graphopt.backends.tvm.places import Copy, Place, Space


@dataclass(frozen=True)
class Call:
    """A call of a kernel, by its name in the planned module."""

    kernel: str
    arguments: tuple[Place, ...]


@dataclass(frozen=True)
class Sequence:
    """A run: all calls, then all copies; and the bytes of its arena."""

    calls: tuple[Call, ...]
    copies: tuple[Copy, ...]
    arena: int


def sequence(planned: Planned, inputs: int) -> Sequence:
    """Read a planned module, whose first `inputs` parameters are its inputs, and the others its weights."""
    return _Reader(planned, inputs).sequence()


def with_workspaces(
    sequence: Sequence, workspaces: Mapping[str, tuple[int, ...]], alignment: int = ALIGNMENT
) -> Sequence:
    """Return a run whose calls take what their kernels work on as well, in the arena behind all else.

    `workspaces` are the bytes of each further pointer of a kernel, by its name.
    """
    begin = aligned(sequence.arena, alignment)
    calls = tuple(
        replace(call, arguments=(*call.arguments, *_behind(begin, workspaces[call.kernel], alignment)))
        for call in sequence.calls
    )
    sizes = (workspaces[call.kernel] for call in calls)
    most = max((sum(aligned(size, alignment) for size in kernel) for kernel in sizes), default=0)
    return replace(sequence, calls=calls, arena=begin + most)


def _behind(start: int, sizes: tuple[int, ...], alignment: int) -> Iterator[Place]:
    for size in sizes:
        yield Place(Space.ARENA, offset=start)
        start += aligned(size, alignment)


_STORAGE = tvm.ir.Op.get("relax.memory.alloc_storage")
_TENSOR = tvm.ir.Op.get("relax.memory.alloc_tensor")
_VIEWS = tvm.ir.Op.get("relax.memory.ensure_zero_offset"), tvm.ir.Op.get("relax.reshape")


class _Reader:
    """Follows the variables of `main`: a storage is the arena, or one of the results."""

    def __init__(self, planned: Planned, inputs: int) -> None:
        main = planned.module["main"]
        self._arena = planned.arena
        self._places: dict[Any, Place] = {}
        for index, parameter in enumerate(main.params):
            own = Place(Space.INPUT, index) if index < inputs else Place(Space.WEIGHT, index - inputs)
            self._places[parameter] = own
        self._bindings = [binding for block in main.body.blocks for binding in block.bindings]
        self._storages: dict[Any, int | None] = {}
        """By variable what it is: the arena, None, or another, by its number."""
        self._outputs: dict[int, int] = {}
        """By the number of a storage the output that lies there."""
        self._results = tuple(main.body.body.fields) if isinstance(main.body.body, relax.Tuple) else (main.body.body,)

    def sequence(self) -> Sequence:
        """Return the calls and copies."""
        calls = [call for binding in self._bindings for call in self._calls(binding)]
        found = [self._places[result] for result in self._results]
        for index, place in enumerate(found):
            if place.space is Space.OUTPUT:
                self._outputs.setdefault(place.index, index)
        return Sequence(
            tuple(Call(call.kernel, tuple(map(self._settled, call.arguments))) for call in calls),
            tuple(
                Copy(source, index, _bytes(result.ty))
                for index, (source, result) in enumerate(zip(map(self._settled, found), self._results, strict=True))
                if (source.space, source.index) != (Space.OUTPUT, index)
            ),
            self._arena,
        )

    def _settled(self, place: Place) -> Place:
        """Return a place with the output that a storage is, instead of the storage's number."""
        return replace(place, index=self._outputs[place.index]) if place.space is Space.OUTPUT else place

    def _calls(self, binding: Any) -> Iterator[Call]:
        """Yield the call that a binding is, if it is one; note what its variable stands for."""
        variable, value = binding.var, binding.value
        if not isinstance(value, relax.Call):
            self._places[variable] = self._places[value]
        elif value.op == _STORAGE:
            first = self._arena > 0 and not self._storages
            self._storages[variable] = None if first else len(self._storages)
        elif value.op == _TENSOR:
            storage, offset = self._storages[value.args[0]], int(value.args[1].value)
            own = storage is not None
            self._places[variable] = Place(Space.OUTPUT if own else Space.ARENA, storage or 0, offset)
        elif value.op in _VIEWS:
            self._places[variable] = self._places[value.args[0]]
        elif isinstance(value.op, tvm.ir.GlobalVar):
            yield Call(value.op.name_hint, tuple(self._places[argument] for argument in value.args))
        else:
            raise ValueError(f"{value.op} is a function of TVM's runtime, which a freestanding program has not")


def _bytes(tensor: Any) -> int:
    bits = int(tvm.DataType(str(tensor.dtype)).bits)
    return math.prod(int(extent) for extent in tensor.shape) * -(-bits // 8)
