"""`graphopt tune`: measure what schedules decide by analysis, and keep what is faster."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.console import complain, mention, say, show_json
from graphopt.cli.options import (
    Batch,
    InputShapes,
    Json,
    ModelPath,
    PipelineText,
    PresetName,
    Seed,
    TargetText,
    Threads,
    pipeline_text,
    shapes_of,
)
from graphopt.cli.progress import progress
from graphopt.cli.render import fields, table
from graphopt.cli.start import INTERRUPTED

if TYPE_CHECKING:
    from graphopt.compiler.tune import Tracker, TunedKernel, Tuning

Trials = Annotated[int, typer.Option("--trials", min=1, metavar="N", help="How many candidates to measure.")]
Time = Annotated[
    float | None,
    typer.Option(
        "--time", min=1.0, metavar="SECONDS", help="Take up no further candidate after this.", show_default=False
    ),
]
TrackerAddress = Annotated[
    str | None,
    typer.Option(
        "--tracker",
        metavar="HOST:PORT",
        help="Measure on the servers of this TVM RPC tracker instead of here.",
        show_default=False,
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="NAME", help="The key that those servers have at the tracker.", show_default=False),
]
_HEADS = "kernel", ">calls", ">trials", ">before, ms", ">after, ms", ">gain", "choices"


def tune_model(
    model: ModelPath,
    *,
    trials: Trials = 200,
    time: Time = None,
    batch: Batch = None,
    target: TargetText = "cpu",
    input_shape: InputShapes = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    tracker: TrackerAddress = None,
    key: Key = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure which schedules suit this machine best, and keep them for `graphopt compile`.

    Schedules come from an analysis; this tries others, on random data, in turns with the best so far, and keeps one
    that is faster by more than noise. What is found counts for every model with the same kernel, and is kept at
    once: an interrupted search loses nothing, and the next one goes on from there.

    Examples:
      graphopt tune model.onnx
      graphopt tune model.onnx --trials 1000 --time 600 --threads 2 --batch 8
      graphopt tune model.onnx --tracker 10.0.0.2:9190 --key board --target 'cpu{cores=4}'

    """
    text, shapes, fleet = pipeline_text(pipeline, preset), shapes_of(input_shape), _tracker(tracker, key)
    from graphopt.benchmark.case import Recipe, open_case
    from graphopt.benchmark.quiet import Watch
    from graphopt.compiler import tuned
    from graphopt.compiler.tune import tune
    from graphopt.targets import parse_target

    facts = parse_target(target)
    recipe = Recipe(dataclasses.replace(facts, cores=threads or facts.cores), text, shapes, seed)
    case = open_case(model, batch, recipe)
    fixed = {name: array.shape for name, array in case.feeds.items()}
    if damage := tuned.read().damage:
        say(f"warning: {damage}: it is begun anew")
    watch = Watch()
    start = partial(tune, model, recipe.target, shapes=fixed, pipeline=text, trials=trials, seconds=time, seed=seed)
    found, interrupted = _search(partial(start, tracker=fleet), trials)
    if interrupted and not found.kernels:
        raise KeyboardInterrupt
    others = watch.stop(sum(os.times()[2:4])) if fleet is None else None  # less what the linker used, our child
    if others is not None and not others.is_quiet:
        say(f"warning: {others} meanwhile: the times are not to be trusted")
    if json:
        show_json({"model": str(model), "target": str(recipe.target), **_document(found)})
    else:
        mention(table(_HEADS, map(_row, found.kernels)), "", fields(_totals(found, str(tuned.path()))))
    if interrupted:
        complain(
            f"interrupted after {found.trials} trials; what they found is kept, and the next `graphopt tune` goes on"
        )
        raise typer.Exit(INTERRUPTED)


def _search(start: Callable[..., Tuning], trials: int) -> tuple[Tuning, bool]:
    """Run a search beside its progress; return what it found, and whether it was interrupted."""
    from graphopt.compiler.tune import Tuning

    found = Tuning((), 0, 0.0)
    with progress("tuning") as step:

        def on_progress(tuning: Tuning) -> None:
            nonlocal found
            found = tuning
            step(_status(tuning), tuning.trials, trials)

        try:
            return start(on_progress=on_progress), False
        except KeyboardInterrupt:
            return found, True


def _tracker(address: str | None, key: str | None) -> Tracker | None:
    if address is None and key is None:
        return None
    if address is None or key is None:
        raise typer.BadParameter("--tracker and --key belong together; give both, or none to measure here")
    from graphopt.compiler.tune import Tracker

    return Tracker(address, key)


def _status(found: Tuning) -> str:
    better = sum(kernel.choices is not None for kernel in found.kernels)
    gain = f", {better} of {len(found.kernels)} kernels faster, {_gain(found.before, found.after)} in all"
    return f"trying schedules{gain if found.kernels else ''}"


def _gain(before: float, after: float) -> str:
    """Return how much less time it takes."""
    return f"{1 - after / before:.1%}" if before else ""


def _row(kernel: TunedKernel) -> Sequence[object]:
    options = ", ".join(f"{knob} {option}" for knob, option in (kernel.choices or {}).items())
    times = f"{kernel.before * 1e3:.3f}", f"{kernel.after * 1e3:.3f}", _gain(kernel.before, kernel.after)
    return kernel.name, kernel.calls, kernel.trials, *times, options or "as analysed"


def _totals(found: Tuning, file: str) -> dict[str, object]:
    before, after = (f"{seconds * 1e3:.3f} ms" for seconds in (found.before, found.after))
    return {
        "kernels": f"{before} → {after} a run, {_gain(found.before, found.after) or 'nothing to choose'}",
        "trials": f"{found.trials} in {found.seconds:.1f} s",
        "kept in": file,
    }


def _document(found: Tuning) -> dict[str, object]:
    return {
        "trials": found.trials,
        "seconds": found.seconds,
        "before_ms": found.before * 1e3,
        "after_ms": found.after * 1e3,
        "kernels": [dataclasses.asdict(kernel) for kernel in found.kernels],
    }
