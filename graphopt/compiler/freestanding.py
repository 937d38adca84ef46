"""From a specialized model to a program for another machine, where there is no onnxruntime to run what TVM cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

from graphopt.backends.partition import partition
from graphopt.backends.tvm.compile import CodegenError
from graphopt.backends.tvm.driver.write import write_program
from graphopt.backends.tvm.lower.support import supports
from graphopt.backends.tvm.schedule.choices import DecisionTable
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.compiler.emit import Emitted, carry_constant_outputs
from graphopt.compiler.kernels import kernels_of
from graphopt.errors import TargetError
from graphopt.inspect.statistics import static_shape
from graphopt.ir.walk import label
from graphopt.runtime.manifest import FREESTANDING, WEIGHTS, Part, Placement
from graphopt.targets import Target


def emit_freestanding(model: ir.Model, target: Target, folder: Path, decisions: DecisionTable) -> Emitted:
    """Write a model with static shapes as sources, or objects, of one function; for a GPU, of its kernels.

    Raises:
        TargetError: a node has no kernel, or one that needs TVM's runtime; float16 where there is none.

    """
    graph = model.graph
    shapes = {str(value.name): static_shape(value) for value in graph.inputs}
    carry_constant_outputs(graph)
    if not target.float16 and (half := next(filter(_is_half, _values(graph)), None)):
        raise TargetError(f"target {target} computes no float16, of which {half.name!r} is; take the model in float32")
    cut = partition(graph, supports)
    if cut.reasons:
        node, reason = next(iter(cut.reasons.items()))
        raise TargetError(
            f"target {target} cannot run {label(node)}: {reason}, and there is no onnxruntime to fall back to; "
            "compile for cpu, or take that part out of the model with graphopt extract"
        )
    nodes = [node for region in cut.regions for node in region.nodes]
    weights = WeightWriter(folder / WEIGHTS)
    try:
        written = write_program(
            nodes, graph.inputs, graph.outputs, target, folder, weights, kernels_of(model, target), decisions
        )
    except CodegenError as error:
        raise TargetError(f"target {target} cannot run the model: {error}; compile for cpu") from error
    names = tuple(str(value.name) for value in graph.inputs), tuple(str(value.name) for value in graph.outputs)
    part = Part(FREESTANDING, written.file, *names, written.weights, written.arena)
    sources = f"{written.file} was compiled, and not executed: no GPU of this kind was tried"
    placed = tuple(Placement(label(node), FREESTANDING) for node in nodes)
    return Emitted(shapes, (part,), placed, (sources,) if target.sources_only else ())


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def _is_half(value: ir.Value) -> bool:
    return value.dtype is ir.DataType.FLOAT16
