"""What a kernel asks of a GPU: threads of a block, and bytes of memory that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tvm
from tvm import tirx

_SHARED = "shared"
SHARED_BYTES = 48 << 10
"""Of a block, that every GPU of NVIDIA's gives without being asked for more."""


@dataclass(frozen=True)
class Launch:
    """The largest block that a scheduled kernel launches, and the bytes of shared memory that all its blocks ask for."""

    threads: int
    shared_bytes: int


def launch(kernel: tirx.PrimFunc) -> Launch:
    """Return what a scheduled kernel asks for; one without threads, which no GPU can run, has 0 of them."""
    threads: list[int] = []
    shared: list[int] = []

    def nested(statement: tirx.Stmt, extents: dict[str, int]) -> None:
        if isinstance(statement, tirx.For):
            if statement.thread_binding is not None:
                tag = str(statement.thread_binding.thread_tag)
                extents = {**extents, tag: int(statement.extent)}
                block = [extent for name, extent in extents.items() if name.startswith("threadIdx")]
                threads.append(math.prod(block))
            nested(statement.body, extents)
        elif isinstance(statement, tirx.SeqStmt):
            for part in statement.seq:
                nested(part, extents)
        elif isinstance(statement, tvm.s_tir.SBlockRealize):
            for buffer in statement.block.alloc_buffers:
                if buffer.scope().startswith(_SHARED):
                    shared.append(math.prod(map(int, buffer.shape)) * tvm.DataType(buffer.dtype).bits // 8)
            nested(statement.block.body, extents)

    nested(kernel.body, {})
    return Launch(max(threads, default=0), sum(shared))
