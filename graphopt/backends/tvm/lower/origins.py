"""Which nodes a kernel comes from. Fusion forgets it, so it is written into the kernels beforehand.

A module that is lowered for this holds every kernel once a call, and so takes longer to compile, but each of
them is the one that an ordinary module holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir
import tvm
from tvm import relax, s_tir, tirx

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.kernels import is_schedulable
from graphopt.backends.tvm.lower.legalize import legalize
from graphopt.backends.tvm.lower.region import KernelOf, lower
from graphopt.targets import Target

_CALL_TIR = tvm.ir.Op.get("relax.call_tir")
_ORIGIN = "graphopt.origin"
_MARK = "graphopt_node"


def lower_with_origins(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    kernel_of: KernelOf | None = None,
) -> tvm.IRModule:
    """Lower as `region.lower` does, and legalize; blocks carry the index of the node that they come from.

    What is emitted for the outputs of the region behind all nodes has the index after the last one's.
    """
    with tvm_target(target):
        module = legalize(lower(nodes, inputs, outputs, target, kernel_of, _emit_mark))
        return relax.transform.DeadCodeElimination()(_write_origins(module))


def origins(module: tvm.IRModule) -> dict[str, tuple[int, ...]]:
    """Return, for the kernels of a fused module, by name the sorted indices of the nodes that they come from."""
    return {
        variable.name_hint: tuple(sorted(set(_found(function))))
        for variable, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }


def without_origins(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module whose kernels are those of an ordinary one."""
    plain = {
        name: _without_origin(function) if isinstance(function, tirx.PrimFunc) else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(plain, attrs=module.attrs)


def _emit_mark() -> None:
    """Leave a binding that nobody reads: those between two marks are of one node."""
    relax.BlockBuilder.current().emit(relax.Tuple([]), name_hint=_MARK)


def _write_origins(module: tvm.IRModule) -> tvm.IRModule:
    """Give each call in `main` a kernel of its own, whose blocks say which node the call is of."""
    splitter = _Splitter(module)
    main = module["main"]
    body = splitter.visit_expr(main.body)
    rewritten = relax.Function(main.params, body, main.ret_ty, attrs=main.attrs)
    splitter.builder_.update_func(module.get_global_var("main"), rewritten)
    return splitter.builder_.get()


@relax.expr_functor.mutator
class _Splitter(relax.PyExprMutator):  # type: ignore[misc]  # TVM is untyped
    """Counts the marks of nodes as it goes through the bindings."""

    def __init__(self, module: tvm.IRModule) -> None:
        super().__init__(module)
        self._module = module
        self._node = -1

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        self._node += binding.var.name.startswith(_MARK)
        super().visit_var_binding_(binding)

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        call = self.visit_expr_post_order(call)
        if call.op != _CALL_TIR:
            return call
        kernel, name = self._module[call.args[0]], call.args[0].name_hint
        own = self.builder_.add_func(_with_origin(kernel, self._node), name)
        return relax.Call(call.op, [own, *call.args[1:]], call.attrs, call.ty_args)


def _with_origin(kernel: tirx.PrimFunc, node: int) -> tirx.PrimFunc:
    if not is_schedulable(kernel):
        return kernel.with_attr(_ORIGIN, str(node))
    schedule = s_tir.Schedule(kernel)
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        schedule.annotate(block, _ORIGIN, str(node))
    return schedule.mod["main"].with_attrs(kernel.attrs) if kernel.attrs else schedule.mod["main"]


def _without_origin(kernel: tirx.PrimFunc) -> tirx.PrimFunc:
    if not is_schedulable(kernel):
        return kernel.without_attr(_ORIGIN)
    schedule = s_tir.Schedule(kernel)
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        if _ORIGIN in schedule.get(block).annotations:
            schedule.unannotate(block, _ORIGIN)
    return schedule.mod["main"].with_attrs(kernel.attrs) if kernel.attrs else schedule.mod["main"]


def _found(kernel: tirx.PrimFunc) -> Iterator[int]:
    if kernel.attrs and _ORIGIN in kernel.attrs:
        yield int(kernel.attrs[_ORIGIN])
    if is_schedulable(kernel):
        schedule = s_tir.Schedule(kernel)
        for block in schedule.get_child_blocks(schedule.get_sblock("root")):
            if (origin := schedule.get(block).annotations.get(_ORIGIN)) is not None:
                yield int(origin)
