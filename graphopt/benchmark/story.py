"""The history of a program: what passes made of its model, which kernels compute what, and how long they take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from graphopt.backends.partition import Executor, partition
from graphopt.backends.tvm.lower.support import supports
from graphopt.benchmark.case import Recipe, open_case
from graphopt.benchmark.profile import parts_of, timed
from graphopt.compiler.fixed import fixed_model
from graphopt.compiler.kernels import FUSION, computed_by
from graphopt.compiler.optimize import optimize
from graphopt.compiler.stages import kernels_without_code
from graphopt.ir.load import load
from graphopt.ir.walk import label
from graphopt.pipeline.remark import Remark, Verdict
from graphopt.report.history import History
from graphopt.report.snapshot import Measured
from graphopt.runtime.manifest import Manifest
from graphopt.targets import Target
from graphopt.tensors import Feeds

STAGE = "kernels"
"""The last one: its nodes are what a kernel computes, with who runs it."""
REPEATS = 10


class _Ran(NamedTuple):
    """A kernel, or a part that onnxruntime runs: the nodes in it, and its time where that is known."""

    name: str
    executor: Executor
    nodes: tuple[ir.Node, ...]
    seconds: float | None


def history_of(source: Path, recipe: Recipe, manifest: Manifest) -> History:
    """Tell the history of a program anew, from the model that it was made of.

    Where the program has native code for several shapes, the history is that of the first, which the recipe has.
    Times are of this machine, and measured where the program is for it.

    Raises:
        ModelError, PassFailureError: as `graphopt.compile` does.

    """
    history = History(source.name)
    for note in manifest.report.notes:
        history.note(f"{note[:1].upper()}{note[1:]}.")
    if len(manifest.variants) > 1:
        history.note(f"The program has code for {len(manifest.variants)} sets of shapes; this is that for the first.")
    why = [
        Remark(Verdict.MISSED, STAGE, placement.node, f"runs in {placement.executor}: {placement.reason}")
        for placement in manifest.report.placements
        if placement.reason
    ]
    target = recipe.target
    if not manifest.variants and not manifest.is_freestanding:
        optimized, _ = optimize(load(source, shapes=recipe.shapes), recipe.pipeline, target=target, observer=history)
        executors = {placement.node: placement.executor for placement in manifest.report.placements}
        measured = {node: Measured(executors[label(node)]) for node in optimized.graph if label(node) in executors}
        history.look(STAGE, optimized, measured, why)
        return history
    case = open_case(source, None, recipe)
    fixed = fixed_model(case.model, target, recipe.pipeline, history)
    fused, _ = optimize(fixed, FUSION, target=target, observer=history)
    ran = list(_kernels(fixed, target, case.feeds))
    for note in _notes(ran, target):
        history.note(note)
    history.look(STAGE, fused, _measured(ran, computed_by(fixed.graph, fused.graph)), why)
    return history


def _kernels(fixed: ir.Model, target: Target, feeds: Feeds) -> Iterator[_Ran]:
    """Yield what runs each node, first without a name or a time: what is but another view of memory has no kernel."""
    if target.freestanding or target.gpu:
        regions = partition(fixed.graph, supports).regions
        yield from (_Ran("", region.executor, region.nodes, None) for region in regions)
        yield from (_Ran(name, Executor.TVM, nodes, None) for name, nodes in kernels_without_code(fixed, target))
        return
    parts = parts_of(fixed, target)
    yield from (_Ran("", part.executor, part.region.nodes, None) for part in parts)
    for kernel in timed(parts, feeds, REPEATS):
        name = kernel.name if kernel.executor is Executor.TVM else ""
        yield _Ran(name, kernel.executor, kernel.nodes, kernel.cost.seconds)


def _measured(ran: Iterable[_Ran], owners: Mapping[ir.Node, ir.Node]) -> dict[ir.Node, Measured]:
    """Say of the nodes of the fused graph who runs them; the time of a kernel is that of the last node in it."""
    devices: dict[ir.Node, str] = {}
    names: dict[ir.Node, dict[str, None]] = {}
    seconds: dict[ir.Node, float] = {}
    total = sum(one.seconds or 0.0 for one in ran)
    for one in ran:
        within = list(dict.fromkeys(owners[node] for node in one.nodes if node in owners))
        devices.update(dict.fromkeys(within, one.executor.value))
        for owner in within:
            names.setdefault(owner, {}).update({one.name: None} if one.name else {})
        if one.seconds is not None and within and (one.executor is Executor.TVM or len(within) == 1):
            seconds[within[-1]] = seconds.get(within[-1], 0.0) + one.seconds
    return {
        node: Measured(
            device,
            " + ".join(names[node]) or None,
            seconds.get(node),
            seconds[node] / total if total and node in seconds else None,
        )
        for node, device in devices.items()
    }


def _notes(ran: Iterable[_Ran], target: Target) -> Iterator[str]:
    """Yield what times there are beside those of nodes."""
    if target.freestanding or target.gpu:
        yield f"There are no times: target {target} is another machine."
        return
    yield f"Times are medians of {REPEATS} runs on this machine, {target.cores} threads, with a clock at each kernel."
    if around := sum(one.seconds or 0.0 for one in ran if not one.nodes):
        yield f"Another {around * 1e6:.0f} µs go into kernels that lay out what goes in and out."
    for one in ran:
        if one.executor is Executor.ONNXRUNTIME and one.seconds is not None and len(one.nodes) > 1:
            last, time = label(one.nodes[-1]), one.seconds * 1e6
            yield f"The {len(one.nodes)} nodes up to {last} take {time:.0f} µs in onnxruntime."
