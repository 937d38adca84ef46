"""What a region becomes on its way to native code: its kernels, in the form that each stage gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import onnx_ir as ir
import tvm
import tvm_ffi
from tvm import relax, s_tir, tirx

from graphopt.backends.tvm.build import plan, tvm_target
from graphopt.backends.tvm.codegen import generate
from graphopt.backends.tvm.compile import codegen_errors
from graphopt.backends.tvm.kernels import KERNEL, is_schedulable, readable
from graphopt.backends.tvm.lower.origins import lower_with_origins, origins, without_origins
from graphopt.backends.tvm.lower.region import KernelOf
from graphopt.backends.tvm.schedule.choices import ANALYSIS, Choices, DecisionTable
from graphopt.backends.tvm.schedule.module import fuse, schedule_kernel
from graphopt.backends.tvm.schedule.workload import workload_key
from graphopt.backends.tvm.vectormath.expand import expand_functions
from graphopt.targets import Target

_LOOPS = {
    tirx.ForKind.PARALLEL: "parallel",
    tirx.ForKind.VECTORIZED: "vectorized",
    tirx.ForKind.UNROLLED: "unrolled",
    tirx.ForKind.THREAD_BINDING: "bound",
}

_VIEW = "no code: the result is a view of what is read"


class Stage(StrEnum):
    """Where on its way a region is looked at."""

    RELAX = "relax"
    """`main`, which calls kernels, and each of these as it was fused."""
    TIR = "tir"
    """Each kernel with its loops arranged."""
    LLVM = "llvm"
    ASM = "asm"


@dataclass(frozen=True)
class StagedKernel:
    """A kernel at a stage.

    Attributes:
        name: in the module.
        kind: what lowering marked it as; empty where its schedule is the generic one.
        nodes: the indices of those of the region that it comes from.
        choices: by knob what its schedule took, analysed or tuned.
        loops: the extents of those that are `parallel`, `vectorized`, `unrolled`, or `bound` to blocks and threads of
            a GPU, each once, the most frequent first; not those of one turn.
        text: of the function, at the stage; made when it is called.

    """

    name: str
    kind: str
    nodes: tuple[int, ...]
    choices: Mapping[str, str]
    loops: Mapping[str, tuple[int, ...]]
    text: Callable[[], str]

    @property
    def readable(self) -> str:
        """The name without what tells equal ones apart."""
        return readable(self.name)


@dataclass(frozen=True)
class StagedRegion:
    """A region at a stage.

    Attributes:
        main: what calls the kernels, as text; empty behind the stage of Relax.
        kernels: in the order of their nodes.

    """

    main: str
    kernels: tuple[StagedKernel, ...]


def staged(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    stage: Stage,
    kernel_of: KernelOf | None = None,
    decisions: DecisionTable = ANALYSIS,
) -> StagedRegion:
    """Lower and schedule nodes in topological order as `compile.compile_region` does; raises CodegenError."""
    with codegen_errors():
        traced = fuse(lower_with_origins(nodes, inputs, outputs, target, kernel_of), target)
        nodes_of, module = origins(traced), without_origins(traced)
        fused = dict(_kernels(module))
        choices = {name: Choices(decisions.get(workload_key(function), {})) for name, function in fused.items()}
        main = str(tvm.IRModule({"main": module["main"]}).script()) if stage is Stage.RELAX else ""
        arranged = {
            name: schedule_kernel(function, target, choices[name]) if is_schedulable(function) else function
            for name, function in fused.items()
        }
        texts = _texts(stage, module, fused, arranged, target)
    kernels = (
        StagedKernel(
            name=name,
            kind=_kind(function),
            nodes=tuple(index for index in nodes_of.get(name, ()) if index < len(nodes)),
            choices=choices[name].taken,
            loops=_loops(arranged[name]),
            text=texts[name],
        )
        for name, function in fused.items()
    )
    return StagedRegion(main, tuple(sorted(kernels, key=lambda kernel: kernel.nodes)))


def _kernels(module: tvm.IRModule) -> Iterator[tuple[str, tirx.PrimFunc]]:
    for variable, function in module.functions.items():
        if isinstance(function, tirx.PrimFunc):
            yield variable.name_hint, function


def _texts(
    stage: Stage,
    module: tvm.IRModule,
    fused: Mapping[str, tirx.PrimFunc],
    arranged: Mapping[str, tirx.PrimFunc],
    target: Target,
) -> dict[str, Callable[[], str]]:
    if stage in (Stage.RELAX, Stage.TIR):
        functions = fused if stage is Stage.RELAX else arranged
        return {name: partial(_script, function) for name, function in functions.items()}
    for name, function in arranged.items():
        module.update_func(module.get_global_var(name), function)
    planned, _ = plan(module, target)
    finished = dict(_kernels(relax.transform.AttachGlobalSymbol()(planned.module)))
    form = "ll" if stage is Stage.LLVM else "s"
    return {
        name: partial(_code, name, finished[name], target, form) if name in finished else lambda: _VIEW
        for name in fused
    }


def _script(function: tirx.PrimFunc) -> str:
    return str(function.script())


def _code(name: str, function: tirx.PrimFunc, target: Target, form: str) -> str:
    with codegen_errors():
        code = generate({tvm.ir.GlobalVar(name): expand_functions(function)}, tvm_target(target))
        return str(code.inspect_source(form))


def _kind(function: tirx.PrimFunc) -> str:
    blocks: list[s_tir.SBlock] = []
    tvm_ffi.structural_walk(function.body, (s_tir.SBlock, blocks.append))
    return next((str(block.annotations[KERNEL]) for block in blocks if KERNEL in block.annotations), "")


def _loops(function: tirx.PrimFunc) -> dict[str, tuple[int, ...]]:
    """Return the extents of the loops of each kind but the serial one, each once, the most frequent first."""
    loops: list[tirx.For] = []
    tvm_ffi.structural_walk(function.body, (tirx.For, loops.append))
    found: dict[str, Counter[int]] = {}
    for loop in loops:
        if loop.kind in _LOOPS and isinstance(loop.extent, tirx.IntImm) and int(loop.extent) > 1:
            found.setdefault(_LOOPS[loop.kind], Counter())[int(loop.extent)] += 1
    return {kind: tuple(extent for extent, _ in counts.most_common()) for kind, counts in found.items()}
