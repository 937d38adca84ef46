"""Gives every value of a Relax function its place: one arena for what a run needs in between, fresh memory for results.

Works on `main` behind CallTIRRewrite: kernels are called with the tensors that they fill, which stand there as
allocations. A reshape is another shape of the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.backends.tvm.kernels import JOIN, SPLIT
from graphopt.backends.tvm.memory.arena import Arena, arrange
from graphopt.backends.tvm.memory.in_place import Overlaps, in_place
from graphopt.backends.tvm.memory.overwrite import overwritable
from graphopt.backends.tvm.memory.sharing import Sharing, share
from graphopt.backends.tvm.memory.usage import Role, Step, Usage

_ALLOCATION = tvm.ir.Op.get("relax.builtin.alloc_tensor")
_RESHAPE = tvm.ir.Op.get("relax.reshape")
_ROLES = {JOIN: Role.JOIN, SPLIT: Role.SPLIT}


@dataclass(frozen=True)
class Planned:
    """A module without allocations to be planned, and the bytes of the arena that a run of it takes."""

    module: tvm.IRModule
    arena: int


def plan_memory(module: tvm.IRModule, alignment: int = ALIGNMENT) -> Planned:
    """Plan the memory of `main`, and leave out the joins and splits that then copy nothing.

    Tensors lie at multiples of `alignment` bytes.
    """
    function = _Function(module)
    usage = function.usage()
    sharing = share(usage, alignment)
    inner = [block for block in sharing.blocks if block.result is None]
    arena = arrange([block.spans for block in inner], alignment)
    writer = _Writer(function, sharing, dict(zip(map(id, inner), arena.bases, strict=True)), arena)
    body = writer.body()
    main = module["main"]
    planned = relax.Function(main.params, body, main.ret_ty, is_pure=False, attrs=main.attrs)
    functions = {module.get_global_var("main"): planned, **writer.kernels.functions}
    return Planned(tvm.IRModule(functions, attrs=module.attrs), arena.size)


@dataclass(frozen=True)
class _Tensor:
    """A buffer in a shape: `type` is a `relax.TensorType`."""

    buffer: int
    type: Any


@dataclass(frozen=True)
class _Call:
    """A call of a kernel; arguments are tensors or what stands for itself."""

    call: relax.Call
    arguments: tuple[_Tensor | Any, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    """Indices into the arguments."""


class _Function:
    """`main` as calls on numbered buffers."""

    def __init__(self, module: tvm.IRModule) -> None:
        self.module = module
        main = module["main"]
        self._values: dict[Any, Any] = {}
        self._sizes: list[int] = []
        self._unwritten: set[int] = set()
        self._proofs: dict[Any, frozenset[tuple[int, int]]] = {}
        self.calls: list[_Call] = []
        self.parameters = {self._define(parameter).buffer: parameter for parameter in main.params}
        for block in main.body.blocks:
            for binding in block.bindings:
                self._read(binding)
        self.result = self._value(main.body.body)

    def usage(self) -> Usage:
        """Return what the function does to memory."""
        results = {tensor.buffer for tensor in tensors(self.result)} - self.parameters.keys()
        return Usage(
            tuple(map(self._step, self.calls)), tuple(self._sizes), frozenset(results), frozenset(self.parameters)
        )

    def _read(self, binding: relax.VarBinding) -> None:
        value = binding.value
        if not isinstance(value, relax.Call):
            self._values[binding.var] = self._value(value)
        elif value.op == _ALLOCATION:
            self._unwritten.add(self._define(binding.var).buffer)
        elif value.op == _RESHAPE:
            self._values[binding.var] = _Tensor(self._value(value.args[0]).buffer, binding.var.ty)
        elif isinstance(value.op, tvm.ir.GlobalVar | relax.ExternFunc):
            self._call(value)
        else:
            raise ValueError(f"no memory can be planned around {value.op}")

    def _call(self, call: relax.Call) -> None:
        arguments = tuple(map(self._value, call.args))
        buffers = {index: value.buffer for index, value in enumerate(arguments) if isinstance(value, _Tensor)}
        writes = tuple(index for index, buffer in buffers.items() if buffer in self._unwritten)
        self._unwritten.difference_update(buffers.values())
        reads = tuple(index for index in buffers if index not in writes)
        self.calls.append(_Call(call, arguments, reads, writes))

    def _step(self, call: _Call) -> Step:
        buffers = [value.buffer if isinstance(value, _Tensor) else -1 for value in call.arguments]
        pairs = frozenset(
            (call.reads.index(operand), call.writes.index(result))
            for operand, result in self._proof(call.call.op)
            if operand in call.reads and result in call.writes
        )
        reads, writes = (tuple(buffers[index] for index in indices) for indices in (call.reads, call.writes))
        return Step(reads, writes, self._role(call.call.op), pairs)

    def _proof(self, kernel: Any) -> frozenset[tuple[int, int]]:
        if kernel not in self._proofs:
            known = isinstance(kernel, tvm.ir.GlobalVar)
            self._proofs[kernel] = overwritable(self.module[kernel]) if known else frozenset()
        return self._proofs[kernel]

    def _role(self, kernel: Any) -> Role:
        attributes = (self.module[kernel].attrs or {}) if isinstance(kernel, tvm.ir.GlobalVar) else {}
        return next((role for name, role in _ROLES.items() if name in attributes), Role.COMPUTE)

    def _define(self, variable: relax.Var) -> _Tensor:
        tensor = _Tensor(len(self._sizes), variable.ty)
        shape = [int(extent) for extent in variable.ty.shape]
        self._sizes.append(math.prod(shape) * -(-tvm.DataType(str(variable.ty.dtype)).bits // 8))
        self._values[variable] = tensor
        return tensor

    def _value(self, expr: Any) -> Any:
        """Return a tensor, a tuple of values, or an expression that stands for itself."""
        if isinstance(expr, relax.Tuple):
            return tuple(map(self._value, expr.fields))
        if isinstance(expr, relax.TupleGetItem):
            return self._value(expr.tuple_value)[expr.index]
        return self._values.get(expr, expr) if isinstance(expr, relax.Var) else expr


class _Writer:
    """Writes the calls of a function with every tensor at its place."""

    def __init__(self, function: _Function, sharing: Sharing, bases: dict[int, int], arena: Arena) -> None:
        self._kernels = relax.BlockBuilder()
        self._versions: dict[tuple[tvm.ir.GlobalVar, Overlaps], tvm.ir.GlobalVar] = {}
        self._function = function
        self._needless = sharing.needless
        self._block_of = {buffer: block for block in sharing.blocks for buffer in block.places}
        self._bases = bases
        self._bindings: list[relax.VarBinding] = []
        self._tensors: dict[Any, relax.Var] = {}
        self._arena = self._storage(arena.size) if arena.size else None
        self._storages = {
            block.result: self._storage(block.size) for block in sharing.blocks if block.result is not None
        }

    @property
    def kernels(self) -> tvm.IRModule:
        """Those that are called."""
        return self._kernels.get()

    def body(self) -> relax.SeqExpr:
        """Return the body of the planned function."""
        for index, call in enumerate(self._function.calls):
            if index not in self._needless:
                self._write(call)
        result = self._expr(self._function.result)
        return relax.SeqExpr([relax.BindingBlock(self._bindings)], result)

    def _write(self, call: _Call) -> None:
        kernel, arguments, original = call.call.op, call.arguments, call.call
        if isinstance(kernel, tvm.ir.GlobalVar):
            overlaps = self._overlaps(call)
            kernel = self._version(kernel, overlaps)
            merged = dict(overlaps)
            arguments = tuple(value for index, value in enumerate(arguments) if index not in merged)
        values = [self._expr(value) for value in arguments]
        self._bind("_", relax.Call(kernel, values, original.attrs, original.ty_args), relax.TupleType([]))

    def _overlaps(self, call: _Call) -> Overlaps:
        """Return the arguments that lie where a result of a call will."""
        results = {self._place(call.arguments[index].buffer): index for index in call.writes}
        places = {index: call.arguments[index].buffer for index in call.reads}
        return tuple(
            (index, results[self._place(buffer)])
            for index, buffer in places.items()
            if buffer in self._block_of and self._place(buffer) in results
        )

    def _version(self, kernel: tvm.ir.GlobalVar, overlaps: Overlaps) -> tvm.ir.GlobalVar:
        """Return a kernel that takes each place once; the first that is asked for has the kernel's own name."""
        key = kernel, overlaps
        if key not in self._versions:
            function = in_place(self._function.module[kernel], overlaps)
            own = function.with_attr("global_symbol", kernel.name_hint)  # equal ones are told apart in a profile
            self._versions[key] = self._kernels.add_func(own, kernel.name_hint)
        return self._versions[key]

    def _place(self, buffer: int) -> tuple[int, int]:
        block = self._block_of[buffer]
        return id(block), block.places[buffer]

    def _expr(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return relax.Tuple([self._expr(field) for field in value])
        return self._tensor(value) if isinstance(value, _Tensor) else value

    def _tensor(self, tensor: _Tensor) -> relax.Var:
        parameter = self._function.parameters.get(tensor.buffer)
        if parameter is not None:
            return parameter if parameter.ty == tensor.type else self._reshaped(parameter, tensor)
        block = self._block_of[tensor.buffer]
        offset = block.places[tensor.buffer] + (0 if block.result is not None else self._bases[id(block)])
        shape = tuple(int(extent) for extent in tensor.type.shape)
        key = block.result, offset, shape, str(tensor.type.dtype)
        if key not in self._tensors:
            storage = self._arena if block.result is None else self._storages[block.result]
            self._tensors[key] = self._view(storage, offset, tensor.type)
        return self._tensors[key]

    def _reshaped(self, parameter: relax.Var, tensor: _Tensor) -> relax.Var:
        return self._bind("reshaped", relax.op.reshape(parameter, tensor.type.shape), tensor.type)

    def _view(self, storage: Any, offset: int, type_: Any) -> relax.Var:
        """Bind a tensor whose pointer is its place: kernels take none that is said as an offset."""
        allocate, shift = relax.op.memory.alloc_tensor, relax.op.memory.ensure_zero_offset
        tensor = self._bind("tensor", allocate(storage, offset, type_.shape, str(type_.dtype)), type_)
        return self._bind("tensor", shift(tensor), type_) if offset else tensor

    def _storage(self, size: int) -> relax.Var:
        allocation = relax.op.memory.alloc_storage(relax.ShapeExpr([size]), 0, "global", "uint8")
        return self._bind("storage", allocation, relax.AnyType())

    def _bind(self, name: str, expr: relax.Expr, type_: Any) -> relax.Var:
        variable = relax.Var(name, type_)
        self._bindings.append(relax.VarBinding(variable, expr))
        return variable


def tensors(value: Any) -> Iterator[_Tensor]:
    """Yield the tensors of a value."""
    if isinstance(value, tuple):
        for field in value:
            yield from tensors(field)
    elif isinstance(value, _Tensor):
        yield value
