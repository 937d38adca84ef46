"""What a kernel asks of a GPU: threads of a block, and bytes of memory that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tvm
from tvm import tirx

_SHARED, _THREAD = "shared", "threadIdx"
SHARED_BYTES = 48 << 10
"""Of a block, that every GPU of NVIDIA's gives without being asked for more."""


@dataclass(frozen=True)
class Launch:
    """What a scheduled kernel asks for.

    Attributes:
        extents: of blocks and threads by their axes, as `threadIdx.x`, of each nest of loops that are bound to both.
        shared_bytes: of all blocks together.

    """

    extents: tuple[dict[str, int], ...]
    shared_bytes: int

    @property
    def threads(self) -> int:
        """How many the largest block has; none where no GPU can run the kernel."""
        return max((_threads(extents) for extents in self.extents), default=0)


def launch(kernel: tirx.PrimFunc) -> Launch:
    """Return what a scheduled kernel asks for."""
    bound: list[dict[str, int]] = []
    shared: list[int] = []

    def nested(statement: tirx.Stmt, extents: dict[str, int]) -> None:
        if isinstance(statement, tirx.For):
            if statement.thread_binding is not None:
                tag = str(statement.thread_binding.thread_tag)
                extents = {**extents, tag: int(statement.extent)}
                if tag.startswith(_THREAD):
                    bound.append(extents)
            nested(statement.body, extents)
        elif isinstance(statement, tirx.SeqStmt):
            for part in statement.seq:
                nested(part, extents)
        elif isinstance(statement, tvm.s_tir.SBlockRealize):
            buffers = (buffer for buffer in statement.block.alloc_buffers if buffer.scope().startswith(_SHARED))
            shared.extend(math.prod(map(int, one.shape)) * tvm.DataType(one.dtype).bits // 8 for one in buffers)
            nested(statement.block.body, extents)

    nested(kernel.body, {})
    return Launch(tuple(bound), sum(shared))


def _threads(extents: dict[str, int]) -> int:
    return math.prod(extent for axis, extent in extents.items() if axis.startswith(_THREAD))
