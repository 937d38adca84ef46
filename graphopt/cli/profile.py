"""`graphopt profile`: where the time of a compiled model goes, kernel by kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.console import show, show_json
from graphopt.cli.layers import warn_of_noise
from graphopt.cli.options import (
    Batch,
    InputShapes,
    Json,
    ModelPath,
    PipelineText,
    PrecisionName,
    PresetName,
    Seed,
    TargetText,
    Threads,
    pipeline_text,
    shapes_of,
    target_of,
)
from graphopt.cli.progress import progress
from graphopt.cli.render import fields, table
from graphopt.cli.summary import quantity

if TYPE_CHECKING:
    from graphopt.benchmark.profile import Kernel, Profile

Repeats = Annotated[int, typer.Option("--repeats", min=1, metavar="N", help="Runs; the medians count.")]
Top = Annotated[
    int | None,
    typer.Option(
        "--top", min=1, metavar="N", help="Show the N slowest kernels, the slowest first.", show_default=False
    ),
]
_HEADS = "kernel", "nodes", ">ms", ">share", ">GFLOP/s", ">of peak", ">GB/s", ">of peak", "bound by"
_NAMES_SHOWN = 3


def profile_model(
    model: ModelPath,
    *,
    batch: Batch = None,
    repeats: Repeats = 30,
    top: Top = None,
    target: TargetText = "cpu",
    input_shape: InputShapes = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    precision: PrecisionName = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Time each kernel of a compiled model beside what this machine can do at most, on random inputs.

    The peaks are measured: multiply-adds in float32, and reads of more memory than the caches hold. A kernel
    is bound by the one that it is nearer to, or by overhead where starting it costs more than either. Operations
    are those of the model; an algorithm that does with fewer may be above the peak, as may reads from a cache.
    `graphopt inspect --profile` has the same by layers.

    Examples:
      graphopt profile model.onnx
      graphopt profile model.onnx --top 10 --threads 1
      graphopt profile model.onnx --batch 8 --input-shape x:N,3,224,224 --json

    """
    text, shapes = pipeline_text(pipeline, preset), shapes_of(input_shape)
    from graphopt.benchmark.case import Recipe, open_case
    from graphopt.benchmark.profile import profile

    recipe = Recipe(target_of(target, threads, precision), text, shapes, seed)
    with progress("profiling") as step:
        case = open_case(model, batch, recipe)
        found = profile(case, repeats=repeats, on_step=step)
    warn_of_noise(found)
    kernels: Sequence[Kernel] = found.kernels
    if top is not None:
        kernels = sorted(kernels, key=lambda kernel: kernel.cost.seconds, reverse=True)[:top]
    if json:
        show_json({"model": str(model), "threads": recipe.target.cores, **_document(found, kernels)})
    else:
        show(table(_HEADS, _rows(found, kernels)), "", fields(_totals(found, recipe.target.cores)))


def _rows(found: Profile, kernels: Sequence[Kernel]) -> Iterator[Sequence[object]]:
    total = found.in_kernels
    for kernel in kernels:
        cost, roof = kernel.cost, found.roofline
        ours = kernel.executor == "tvm"
        yield (
            kernel.name if ours else kernel.executor,
            _names(kernel),
            f"{cost.seconds * 1e3:.3f}",
            f"{cost.seconds / total:.1%}",
            f"{cost.flops / cost.seconds / 1e9:.1f}",
            f"{cost.compute_share(roof):.0%}",
            f"{cost.bytes / cost.seconds / 1e9:.1f}" if ours else "",
            f"{cost.memory_share(roof):.0%}" if ours else "",
            cost.bound(roof) if ours else "",
        )


def _names(kernel: Kernel) -> str:
    """Name the nodes; of many, the first ones."""
    names = [node.name or str(node.outputs[0].name) for node in kernel.nodes]
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _totals(found: Profile, threads: int) -> dict[str, object]:
    roof, whole = found.roofline, found.whole.median
    bounds: dict[str, float] = {}
    for kernel in found.kernels:
        bound = kernel.cost.bound(roof) if kernel.executor == "tvm" else kernel.executor
        bounds[bound] = bounds.get(bound, 0.0) + kernel.cost.seconds / found.in_kernels
    peaks = quantity(roof.flops, "FLOP/s"), quantity(roof.bandwidth, "B/s"), f"{roof.launch * 1e6:.1f} µs a start"
    shares = (f"{bound} {share:.0%}" for bound, share in sorted(bounds.items(), key=lambda item: -item[1]))
    return {
        "threads": threads,
        "peak": ", ".join(peaks),
        "run": f"{whole:.3f} ms, of which kernels {found.in_kernels * 1e3:.3f} ms, one by one",
        "bound by": ", ".join(shares),
    }


def _document(found: Profile, kernels: Sequence[Kernel]) -> dict[str, object]:
    """Return the profile as plain data: seconds, operations and bytes a second."""
    return {
        "roofline": dataclasses.asdict(found.roofline),
        "others_cores": found.others.cores if found.others else None,
        "run_ms": found.whole.median,
        "kernels_ms": found.in_kernels * 1e3,
        "kernels": [_described(found, kernel) for kernel in kernels],
    }


def _described(found: Profile, kernel: Kernel) -> dict[str, object]:
    cost, roof = kernel.cost, found.roofline
    described: dict[str, object] = {
        "kernel": kernel.name,
        "executor": kernel.executor,
        "nodes": [{"name": node.name, "op": node.op_type, "output": node.outputs[0].name} for node in kernel.nodes],
        "ms": cost.seconds * 1e3,
        "flops": cost.flops,
        "of_peak_flops": cost.compute_share(roof),
    }
    if kernel.executor == "tvm":
        described |= {"bytes": cost.bytes, "of_peak_bandwidth": cost.memory_share(roof), "bound": cost.bound(roof)}
    return described
