"""`graphopt bench`: how fast are models, beside other runtimes?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from graphopt.cli.completion import several_of
from graphopt.cli.console import say, show, show_json
from graphopt.cli.options import (
    InputShapes,
    Json,
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
from graphopt.cli.output import check_picture
from graphopt.cli.progress import Announce, progress
from graphopt.cli.scores import document, tables

if TYPE_CHECKING:
    from graphopt.benchmark.case import Case, Recipe
    from graphopt.benchmark.contest import Outcome
    from graphopt.benchmark.quiet import OtherLoad

Models = Annotated[list[Path], typer.Argument(metavar="MODEL…", help="ONNX files.", show_default=False)]
Against = Annotated[
    str,
    typer.Option(
        "--against",
        metavar="NAME,…",
        help="The opponents: onnxruntime, openvino, or none. They run the model as it is, all their optimizations on.",
        autocompletion=several_of("onnxruntime", "openvino", "none"),
    ),
]
Batches = Annotated[
    str | None,
    typer.Option(
        "--batch", metavar="N,…", help="Sizes for free leading dimensions, in turn; 1 by default.", show_default=False
    ),
]
Repeats = Annotated[int, typer.Option("--repeats", min=4, metavar="N", help="Timed runs of each side.")]
RequireQuiet = Annotated[
    bool, typer.Option("--require-quiet", help="Refuse to measure beside programs that keep the cores busy.")
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE.png|.svg", help="Draw the times into a file, too.", show_default=False),
]
Entry = TypeVar("Entry")
_NONE = "none"
_DIFFERENT = 1


def bench_model(
    models: Models,
    *,
    against: Against = "onnxruntime",
    batch: Batches = None,
    repeats: Repeats = 50,
    target: TargetText = "cpu",
    input_shape: InputShapes = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    precision: PrecisionName = None,
    require_quiet: RequireQuiet = False,
    plot: Plot = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Time compiled models beside other runtimes, in turns, on equal threads and the same random inputs.

    Each runtime has a process of its own, and only one works at a time. The ratio is the opponent's time over
    graphopt's. The answers are compared too: exit code 1 if they differ.

    Examples:
      graphopt bench model.onnx
      graphopt bench a.onnx b.onnx --against onnxruntime,openvino --threads 2 --batch 1,8 --plot times.svg
      graphopt bench model.onnx --input-shape x:1,3,224,224 --require-quiet
      graphopt bench model.onnx --against none --json

    """
    opponents, batches = _opponents(against), _batches(batch)
    text, shapes = pipeline_text(pipeline, preset), shapes_of(input_shape)
    if plot:
        check_picture(plot)
    from graphopt.benchmark.case import Recipe

    recipe = Recipe(target_of(target, threads, precision), text, shapes, seed)
    quiet = _Quiet(required=require_quiet)
    with progress("benchmarking") as step:
        outcomes = _measure(_cases(models, batches, recipe), opponents, repeats, quiet, step)
    for warning in quiet.warnings:
        say(warning)
    if plot:
        from graphopt.benchmark.plot import draw

        draw(outcomes, plot)
    if json:
        show_json(document(outcomes, recipe.target.cores))
    else:
        show(*tables(outcomes, recipe.target.cores), *(["", f"{plot}: written"] if plot else []))
    if not all(outcome.is_equal for outcome in outcomes):
        raise typer.Exit(_DIFFERENT)


@dataclass
class _Quiet:
    """What is said of programs that disturb the measurement, or whether that ends it."""

    required: bool
    warnings: list[str] = field(default_factory=list)

    def check(self, others: OtherLoad | None, when: str) -> None:
        """Warn of other programs; raises MeasurementError where a quiet machine is required."""
        from graphopt.errors import MeasurementError

        if others is not None and others.is_quiet:
            return
        if self.required:
            what = "this system does not tell what other programs do" if others is None else f"{others} {when}"
            raise MeasurementError(f"{what}; stop them, or measure without --require-quiet")
        if others is not None:
            self.warnings.append(f"warning: {others} {when}: the times are not to be trusted")


def _cases(models: Sequence[Path], batches: Sequence[int | None], recipe: Recipe) -> list[Case]:
    """Open all before any is measured: what is wrong with one is said at once."""
    from graphopt.benchmark.case import open_case

    return [open_case(model, batch, recipe) for model in models for batch in batches]


def _measure(
    cases: Sequence[Case], opponents: Sequence[str], repeats: int, quiet: _Quiet, step: Announce
) -> list[Outcome]:
    from graphopt.benchmark.contest import compete
    from graphopt.benchmark.quiet import watch_idle

    step("watching what other programs do")
    quiet.check(watch_idle(), "before the first turn")
    outcomes = []
    for case in cases:
        title = f"{case.source.name}, batch {case.batch}"
        outcome = compete(case, opponents, repeats=repeats, on_step=partial(_announce, step, title))
        quiet.check(outcome.others, f"in the turns of {title}")
        outcomes.append(outcome)
    return outcomes


def _announce(step: Announce, title: str, what: str, done: int, total: int | None) -> None:
    step(f"{title}: {what}", done, total)


def _opponents(text: str) -> list[str]:
    """Read the names of opponents; raises BadParameter, or MeasurementError where one is not installed."""
    from graphopt.benchmark.runtimes import OPPONENTS, check_installed

    names = [name.strip() for name in text.split(",")]
    if names == [_NONE]:
        return []
    for name in names:
        if name not in OPPONENTS:
            raise typer.BadParameter(
                f"there is no opponent {name!r}; --against takes {', '.join(OPPONENTS)}, or {_NONE} alone"
            )
        check_installed(name)
    return _once(names, "--against")


def _batches(text: str | None) -> Sequence[int | None]:
    """Read sizes of batches; raises BadParameter."""
    if text is None:
        return [None]
    entries = [entry.strip() for entry in text.split(",")]
    for entry in entries:
        if not (entry.isascii() and entry.isdigit() and int(entry)):
            raise typer.BadParameter(f"{entry!r} is no batch; --batch takes whole numbers from 1, as in 1,8")
    return _once(list(map(int, entries)), "--batch")


def _once(entries: list[Entry], option: str) -> list[Entry]:
    for entry in entries:
        if entries.count(entry) > 1:
            raise typer.BadParameter(f"{option} names {entry} twice; keep one")
    return entries
