"""A scheduled module → native code and weights, run in memory or written to disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import vm_build

from graphopt.backends.tvm.codegen import compile_kernels
from graphopt.backends.tvm.memory.plan import Planned, plan_memory
from graphopt.backends.tvm.memory.prepare import with_preparation
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.errors import TargetError
from graphopt.targets import Precision, Target

_CHECKS = frozenset({"vm.builtin.check_tensor_info", "vm.builtin.match_shape"})
_RISCV, _RISCV_ABI = "riscv64", "lp64d"
_RISCV_LINUX = ("+m", "+a", "+f", "+d", "+c")
"""What Linux asks of every processor, and LLVM's generic one lacks; the ABI passes floats in registers."""
_WASM_ENGINES = ("+simd128", "+bulk-memory", "+nontrapping-fptoint", "+sign-ext")
"""What each engine has that has SIMD."""
_WARP = 32
_LINKERS = ("g++", "gcc", "clang++", "clang", "c++", "cc")


@dataclass(frozen=True)
class Program:
    """Native code whose `main` takes the inputs and then the weights."""

    executable: Any
    """A `tvm.relax.VMExecutable`."""
    weights: tuple[Any, ...]
    """Tensors of the TVM runtime."""
    arena: int
    """Bytes that a run needs for all that lies between its inputs and its outputs."""


def tvm_target(target: Target) -> tvm.target.Target:
    """Return a target as TVM knows it."""
    if target.gpu:
        return gpu_target(target)
    if not target.llvm:
        return tvm.target.Target({"kind": target.kind})
    asked = {
        "+avx512bf16": target.precision is Precision.BF16 and target.bf16,
        "+avx512vnni": "avx512_vnni" in target.features,
    }  # archspec takes a processor that lacks anything of its kind, as a Cooper Lake may, for its predecessor
    attributes = [attribute for attribute, is_asked in asked.items() if is_asked]
    facts: dict[str, Any] = {"kind": "llvm", "mcpu": target.mcpu, "num-cores": target.cores}
    if target.mtriple:
        facts["mtriple"] = target.mtriple
        attributes += [one for one in target.mattr.split(",") if one]
    if target.architecture == _RISCV:
        facts["mabi"] = _RISCV_ABI
        attributes = [*_RISCV_LINUX, *attributes]
    if target.web:
        facts["vector-width"] = target.vector_bits
        attributes = [*_WASM_ENGINES]
    return tvm.target.Target({**facts, "mattr": attributes} if attributes else facts)


def gpu_target(target: Target) -> tvm.target.Target:
    """Return a GPU as TVM knows it, launched from this machine; of what a block has, what all of its kind give."""
    facts: dict[str, Any] = {
        "kind": target.kind,
        "max_num_threads": target.threads_per_block,
        "max_shared_memory_per_block": target.shared_bytes,
    }
    if target.kind == "cuda":
        facts |= {"arch": target.arch, "max_threads_per_block": target.threads_per_block, "thread_warp_size": _WARP}
    return tvm.target.Target(facts, host="llvm")


def plan(module: tvm.IRModule, target: Target) -> tuple[Planned, tuple[Any, ...]]:
    """Return a scheduled module with each tensor at its place, and the weights that `main` takes behind its inputs."""
    code, weights = _without_constants(module)
    with tvm_target(target):
        return plan_memory(_with_allocations()(code), target.tensor_alignment), weights


def build(module: tvm.IRModule, target: Target) -> Program:
    """Compile a scheduled module to native code of a processor, as `relax.build` does but for the kernels."""
    planned, weights = plan(module, target)
    machine = tvm_target(target)
    with machine:
        lowered = _without_checks(_for_virtual_machine()(with_preparation(planned.module, planned.arena)))
    builder = relax.ExecBuilder()
    kernels = vm_build._vmcodegen(builder, lowered)  # noqa: SLF001  # the version of TVM is fixed, see `abi`
    libraries = compile_kernels(kernels, machine)
    executable = vm_build._vmlink(builder, machine, ext_libs=libraries)  # noqa: SLF001  # likewise
    return Program(executable, weights, planned.arena)


def _with_allocations() -> tvm.transform.Pass:
    """Make kernels take the tensors that they fill, and reshapes say that they copy nothing."""
    passes = relax.transform
    return tvm.transform.Sequential(
        [
            passes.RewriteDataflowReshape(),
            passes.ToNonDataflow(),
            passes.RemovePurityChecking(),
            passes.CallTIRRewrite(),
        ]
    )


def _for_virtual_machine() -> tvm.transform.Pass:
    """Turn all that is left of Relax into calls of the virtual machine's builtin functions."""
    passes = relax.transform
    return tvm.transform.Sequential(
        [
            passes.KillAfterLastUse(),
            passes.LowerRuntimeBuiltin(),
            passes.ComputePrimValue(),
            passes.VMShapeLower(),
            passes.AttachGlobalSymbol(),
        ]
    )


def _without_checks(module: tvm.IRModule) -> tvm.IRModule:
    """Leave out that each run looks at the type of each argument: the runtime knows inputs and weights.

    These were three hundred calls a run of MobileNetV2, 3 % of its time in int8.
    """
    main = module["main"]
    blocks = [
        relax.BindingBlock([binding for binding in block.bindings if not _is_check(binding.value)])
        for block in main.body.blocks
    ]
    body = relax.SeqExpr(blocks, main.body.body)
    unchecked = tvm.IRModule(dict(module.functions), attrs=module.attrs)
    function = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    unchecked.update_func(unchecked.get_global_var("main"), function)
    return unchecked


def _is_check(value: relax.Expr) -> bool:
    operator = value.op if isinstance(value, relax.Call) else None
    return isinstance(operator, relax.ExternFunc) and str(operator.global_symbol) in _CHECKS


def export(program: Program, path: Path, weights: WeightWriter) -> tuple[int, ...]:
    """Write a program as a shared library, and its weights; return where each weight begins.

    Raises:
        TargetError: no C linker is installed.

    """
    program.executable.export_library(str(path), cc=linker())
    return tuple(weights.add(np.from_dlpack(weight)) for weight in program.weights)


def linker() -> str:
    """Return the path of a C compiler, which links libraries; raises TargetError where there is none."""
    found = next(filter(None, map(shutil.which, _LINKERS)), None)
    if found is None:
        raise TargetError(
            f"a library is linked by a C compiler, and none of {', '.join(_LINKERS)} is on the PATH; "
            "install one (Debian: apt install gcc)"
        )
    return found


@relax.expr_functor.mutator
class _ConstantLifter(relax.PyExprMutator):  # type: ignore[misc]  # TVM is untyped
    """Replaces every constant by a variable."""

    def __init__(self, module: tvm.IRModule) -> None:
        super().__init__(module)
        self.lifted: dict[Any, relax.Var] = {}

    def visit_generic_const_(self, op: tvm.ir.GenericConst) -> relax.Var:
        if op not in self.lifted:
            self.lifted[op] = relax.Var(f"weight{len(self.lifted)}", op.ty)
        return self.lifted[op]


def _without_constants(module: tvm.IRModule) -> tuple[tvm.IRModule, tuple[Any, ...]]:
    """Turn the constants of `main` into parameters behind the inputs; return their values too.

    Constants inside an executable would be stored in the library, copied by every process, and announced on
    stderr one by one.
    """
    lifter = _ConstantLifter(module)
    main = module["main"]
    body = lifter.visit_expr(main.body)
    parameters = [*main.params, *lifter.lifted.values()]
    function = relax.Function(parameters, body, main.ret_ty).with_attr("global_symbol", "main")
    lifted = tvm.IRModule(dict(module.functions))
    lifted.update_func(lifted.get_global_var("main"), function)
    return lifted, tuple(constant.value for constant in lifter.lifted)
