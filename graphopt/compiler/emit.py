"""From a specialized model to the parts of a program: one file per convex region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.backends.partition import Executor, Partition, Region, partition
from graphopt.backends.tvm.compile import CodegenError, compile_region
from graphopt.backends.tvm.lower.region import KernelOf
from graphopt.backends.tvm.lower.support import supports
from graphopt.backends.tvm.schedule.choices import DecisionTable
from graphopt.compiler.kernels import kernels_of
from graphopt.compiler.package import Package
from graphopt.inspect.statistics import static_shape
from graphopt.ir.constants import is_constant
from graphopt.ir.walk import is_op, label, reads
from graphopt.runtime.manifest import GPU, Part, Placement
from graphopt.targets import Target


@dataclass(frozen=True)
class Emitted:
    """One variant: the shapes of inputs, parts in the order of execution, who runs each node, notes for the user."""

    shapes: dict[str, tuple[int, ...]]
    parts: tuple[Part, ...]
    placements: tuple[Placement, ...]
    notes: tuple[str, ...]


def emit(model: ir.Model, target: Target, package: Package, decisions: DecisionTable) -> Emitted:
    """Compile the regions of a model with static shapes into a package; `decisions` are for schedules.

    No part is emitted where onnxruntime would run everything: the whole optimized model serves then.
    """
    shapes = {str(value.name): static_shape(value) for value in model.graph.inputs}
    carry_constant_outputs(model.graph)
    cut = partition(model.graph, supports)
    if all(region.executor is Executor.ONNXRUNTIME for region in cut.regions):
        return Emitted(shapes, (), _placements(cut, cut.reasons), ())
    parts: list[Part] = []
    notes: list[str] = []
    reasons = dict(cut.reasons)
    kernel_of = kernels_of(model, target)
    for region in cut.regions:
        part, failure = _emit_region(model, region, target, package, kernel_of, decisions)
        parts.append(part)
        if failure is not None:
            notes.append(f"onnxruntime runs {part.file} ({len(region.nodes)} nodes), since {failure}")
            reasons.update(dict.fromkeys(region.nodes, failure))
    return Emitted(shapes, tuple(parts), _placements(cut, reasons), tuple(notes))


def carry_constant_outputs(graph: ir.Graph) -> None:
    """Put an Identity between a constant and a graph output that is it, so that some node makes each output."""
    for index, value in enumerate(graph.outputs):
        if is_constant(value):
            carrier = ir.Node("", "Identity", [value], num_outputs=1)
            carrier.outputs[0].type, carrier.outputs[0].shape = value.type, value.shape
            carrier.outputs[0].name, value.name = value.name, f"{value.name}_constant"
            graph.append(carrier)
            graph.outputs[index] = carrier.outputs[0]


def _emit_region(
    model: ir.Model,
    region: Region,
    target: Target,
    package: Package,
    kernel_of: KernelOf,
    decisions: DecisionTable,
) -> tuple[Part, str | None]:
    """Return a region's part, and why onnxruntime runs it although TVM has accepted its nodes."""
    names = tuple(str(value.name) for value in region.inputs), tuple(str(value.name) for value in region.outputs)
    stem = package.next_name()
    failure = None
    if region.executor is Executor.TVM:
        path = package.folder / stem
        try:
            code = compile_region(
                region.nodes, region.inputs, region.outputs, target, path, package.weights, kernel_of, decisions
            )
            executor = GPU if target.gpu else region.executor
            return Part(executor, code.file, *names, code.weights, code.arena), None
        except CodegenError as error:
            failure = f"TVM failed on it: {error}"
    name = f"{stem}.onnx"
    package.write_model(_as_model(model, region), name)
    return Part(Executor.ONNXRUNTIME, name, *names), failure


def _as_model(model: ir.Model, region: Region) -> ir.Model:
    """Return a region as a model of its own, with the constants and functions that it needs."""
    constants = dict.fromkeys(value for node in region.nodes for value in reads(node) if is_constant(value))
    made = [producer for value in constants if (producer := value.producer()) is not None]
    view = ir.GraphView(
        region.inputs,
        region.outputs,
        nodes=(*made, *region.nodes),
        initializers=[value for value in constants if value.is_initializer()],
        opset_imports=model.opset_imports,
        name="region",
    )
    return ir.Model(view.clone(), ir_version=model.ir_version, functions=[f.clone() for f in model.functions.values()])


def _placements(cut: Partition, reasons: Mapping[ir.Node, str]) -> tuple[Placement, ...]:
    """Say who runs each node; those that have `reasons` are not TVM's."""
    nodes = (node for region in cut.regions for node in region.nodes if not is_op(node, "Constant"))
    return tuple(
        Placement(label(node), Executor.ONNXRUNTIME if node in reasons else Executor.TVM, reasons.get(node, ""))
        for node in nodes
    )
