"""What the host does for a part of a program that a GPU runs: which kernels in which order, and where all tensors lie.

This is the runtime side: it imports no part of the compiler. A plan is the same for all languages of kernels, and a
file that one can read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from graphopt.backends.tvm.places import Copy, Place, Space
from graphopt.errors import ModelError
from graphopt.targets.gpu import GPUS

_Size = Annotated[int, msgspec.Meta(ge=0)]
_Extent = Annotated[int, msgspec.Meta(ge=1)]
Extents = tuple[_Extent, _Extent, _Extent]
"""Along x, y and z."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a part; `dtype` is numpy's name of its type."""

    dtype: Annotated[str, msgspec.Meta(pattern="^(bool|u?int(8|16|32|64)|float(16|32|64))$")]
    shape: tuple[_Size, ...]

    @property
    def bytes(self) -> int:
        """How many it has."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Launch:
    """A kernel at work.

    Attributes:
        kernel: its name in the code.
        arguments: a pointer each.
        blocks: of threads.
        threads: of each block.
        shared_bytes: of memory that the threads of a block share.

    """

    kernel: str
    arguments: tuple[Place, ...]
    blocks: Extents
    threads: Extents
    shared_bytes: _Size

    @property
    def block_size(self) -> int:
        """How many threads a block has."""
        return math.prod(self.threads)


@dataclass(frozen=True)
class GpuPlan:
    """A run: what comes in, all launches, then all copies, what goes out.

    Attributes:
        kind: of the target, which says the language of kernels.
        arch: of the target; empty where it has none.
        device: of the target; empty where any will do.
        code: the file of kernels, beside the plan.
        inputs, outputs: in the order of the part.
        arena: its bytes.
        alignment: tensors begin at multiples of it.
        launches: in their order.
        copies: behind them.

    """

    kind: str
    arch: str
    device: str
    code: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arena: _Size
    alignment: _Extent
    launches: tuple[Launch, ...]
    copies: tuple[Copy, ...]

    def encode(self) -> bytes:
        """Return the content of a file that `decode` reads."""
        return bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))

    @classmethod
    def decode(cls, text: bytes, name: str) -> GpuPlan:
        """Read a plan; raises ModelError where the file of that name is none, or what it says does not fit together."""
        try:
            plan = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise _damaged(name, str(error)) from error
        if mistake := next(_mistakes(plan), ""):
            raise _damaged(name, mistake)
        return plan


def _mistakes(plan: GpuPlan) -> Iterator[str]:
    """Yield what in a plan does not fit together."""
    if plan.kind not in GPUS:
        yield f"it is for {plan.kind!r}"
    room = {Space.INPUT: plan.inputs, Space.OUTPUT: plan.outputs}
    places = [*(place for launch in plan.launches for place in launch.arguments)]
    for place in [*places, *(copy.source for copy in plan.copies)]:
        if place.offset < 0 or place.index < 0 or place.index >= len(room.get(place.space, range(place.index + 1))):
            yield f"there is no {place.space} {place.index}"
        elif place.space is Space.ARENA and place.offset >= plan.arena:
            yield f"the arena has no byte {place.offset}"
    for copy in plan.copies:
        if not 0 <= copy.output < len(plan.outputs) or copy.size != plan.outputs[copy.output].bytes:
            yield f"there is no output {copy.output} of {copy.size} bytes"


def _damaged(name: str, reason: str) -> ModelError:
    return ModelError(f"{name} is damaged ({reason}); compile the model again")
