"""What the kernels of a model become, from Relax to assembly, and what their schedules decided, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.backends.partition import Executor, Region, partition
from graphopt.backends.tvm.compile import CodegenError
from graphopt.backends.tvm.lower.support import supports
from graphopt.backends.tvm.stages import Stage, StagedKernel, StagedRegion, staged
from graphopt.compiler import tuned
from graphopt.compiler.decisions import in_words
from graphopt.compiler.fixed import fixed_model
from graphopt.compiler.kernels import kernels_of
from graphopt.errors import ModelError, TargetError
from graphopt.ir.walk import label
from graphopt.nearest import question_of
from graphopt.targets import Target

_NATIVE = (Stage.LLVM, Stage.ASM)


@dataclass(frozen=True)
class KernelText:
    """A kernel at a stage.

    Attributes:
        kernel: its name; `main` is what calls the others.
        nodes: those that it computes, as remarks name them.
        schedule: what was decided for its loops, in words.
        text: the function.

    """

    kernel: str
    nodes: tuple[str, ...]
    schedule: tuple[str, ...]
    text: str


def stages(model: ir.Model, target: Target, pipeline: str, stage: Stage, kernel: str | None = None) -> list[KernelText]:
    """Compile a model of fixed shapes as far as a stage, and return its kernels in the order of their nodes.

    `kernel` chooses those of a name (with or without what tells equal ones apart), or of the node of a name.

    Raises:
        TargetError: the target has no such stage.
        ModelError: an input has no shape; nothing is compiled natively; there is no such kernel.

    """
    if target.kind == "onnxruntime":
        raise TargetError("the target onnxruntime has no kernels to look into; take cpu")
    if stage in _NATIVE and not target.llvm:
        raise TargetError(f"target {target} becomes C, not {stage}; take --stage tir, or another target")
    regions = list(_regions(fixed_model(model, target, pipeline), target, stage))
    texts = [text for region, whole in regions for text in _texts(region, whole, kernel)]
    if not texts:
        raise ModelError(_nothing(regions, kernel))
    return texts


def kernels_without_code(model: ir.Model, target: Target) -> Iterator[tuple[str, tuple[ir.Node, ...]]]:
    """Yield the kernels of a model of fixed shapes (`graphopt.compiler.fixed`) and the nodes of each."""
    for region, whole in _regions(model, target, Stage.TIR):
        for one in whole.kernels:
            yield one.readable, tuple(region.nodes[index] for index in one.nodes)


def _regions(model: ir.Model, target: Target, stage: Stage) -> Iterator[tuple[Region, StagedRegion]]:
    kernel_of, decisions = kernels_of(model, target), tuned.decisions(target)
    for region in partition(model.graph, supports).regions:
        if region.executor is Executor.TVM:
            try:
                whole = staged(region.nodes, region.inputs, region.outputs, target, stage, kernel_of, decisions)
            except CodegenError:
                continue  # onnxruntime runs it, as it does in the program
            yield region, whole


def _texts(region: Region, whole: StagedRegion, kernel: str | None) -> Iterator[KernelText]:
    if whole.main and kernel in (None, "main"):
        yield KernelText("main", (), (), whole.main)
    for one in whole.kernels:
        if kernel is None or kernel in _names(one, region):
            nodes = tuple(label(region.nodes[index]) for index in one.nodes)
            yield KernelText(one.name, nodes, in_words(one), one.text())


def _names(kernel: StagedKernel, region: Region) -> set[str]:
    nodes = [region.nodes[index] for index in kernel.nodes]
    values = (value.name for node in nodes for value in node.outputs)
    return {kernel.name, kernel.readable, *filter(None, (*(node.name for node in nodes), *values))}


def _nothing(regions: list[tuple[Region, StagedRegion]], kernel: str | None) -> str:
    known = sorted({name for region, whole in regions for one in whole.kernels for name in _names(one, region)})
    if not known:
        return "no part of the model becomes native code; `graphopt compile` says why"
    hint = question_of(str(kernel), known) or f"there are {', '.join(known[:8])}, …"
    return f"no kernel is named {kernel!r} or computes such a node; {hint}"
