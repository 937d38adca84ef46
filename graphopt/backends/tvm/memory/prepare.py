"""What a program does once, before its first run: it touches the memory of its arena.

The system gives memory when it is written first, a page at a time, and all pages of an arena may take longer than a
run. TVM keeps what a function has given back for the next one that asks for as much.
"""

from __future__ import annotations

import tvm
from tvm import relax, te, tirx

from graphopt.backends.tvm.abi import PREPARE

_KERNEL = "touch"


def with_preparation(module: tvm.IRModule, arena: int) -> tvm.IRModule:
    """Return a module of planned memory with a function that touches an arena of so many bytes."""
    if not arena:
        return module
    builder = relax.BlockBuilder(module)
    kernel = builder.add_func(_touch(arena), _KERNEL)
    memory = relax.Var("memory", relax.AnyType())
    tensor = relax.Var("tensor", relax.TensorType([arena], "uint8"))
    bindings = [
        relax.VarBinding(memory, relax.op.memory.alloc_storage(relax.ShapeExpr([arena]), 0, "global", "uint8")),
        relax.VarBinding(tensor, relax.op.memory.alloc_tensor(memory, 0, relax.ShapeExpr([arena]), "uint8")),
        relax.VarBinding(relax.Var("_", relax.TupleType([])), relax.Call(kernel, [tensor])),
    ]
    body = relax.SeqExpr([relax.BindingBlock(bindings)], relax.Tuple([]))
    function = relax.Function([], body, relax.TupleType([]), is_pure=False).with_attr("global_symbol", PREPARE)
    builder.add_func(function, PREPARE)
    return builder.get()


def _touch(size: int) -> tirx.PrimFunc:
    """Return a kernel that writes so many bytes."""
    written = te.compute((size,), lambda _: tirx.const(0, "uint8"), name=_KERNEL)
    return te.create_prim_func([written]).with_attr("global_symbol", _KERNEL)
