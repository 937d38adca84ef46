"""`graphopt bench`: how fast is a model, beside another runtime?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from graphopt.cli.console import progress, show, show_json
from graphopt.cli.options import (
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
from graphopt.cli.render import fields, table

if TYPE_CHECKING:
    from graphopt.backends.ort.session import Session
    from graphopt.compiler.optimize import Shapes
    from graphopt.numerics import Difference
    from graphopt.runtime.benchmark import Timing
    from graphopt.runtime.module import CompiledModule
    from graphopt.tensors import Feeds

Against = Annotated[
    Literal["onnxruntime", "none"],
    typer.Option("--against", help="The opponent: onnxruntime runs the same model, all its optimizations on."),
]
Repeats = Annotated[int, typer.Option("--repeats", min=4, metavar="N", help="Timed runs of each side.")]
_DIFFERENT = 1


def bench_model(
    model: ModelPath,
    *,
    against: Against = "onnxruntime",
    repeats: Repeats = 50,
    target: TargetText = "cpu",
    input_shape: InputShapes = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    threads: Threads = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Time a compiled model beside onnxruntime, in turns, on equal threads and the same random inputs.

    The answers are compared too: exit code 1 if they differ. Free leading dimensions are 1.

    Examples:
      graphopt bench model.onnx
      graphopt bench model.onnx --threads 1 --repeats 100 --input-shape x:1,3,224,224
      graphopt bench model.onnx --against none --json

    """
    from graphopt.cli.feeds import random_feeds
    from graphopt.compiler.compile import compile
    from graphopt.numerics import DEFAULT_TOLERANCE
    from graphopt.targets import parse_target

    text, shapes = pipeline_text(pipeline, preset), shapes_of(input_shape)
    threads = threads or parse_target(target).cores
    with progress("benchmarking") as step:
        module = compile(model, target, shapes=shapes, pipeline=text, threads=threads, on_stage=step)
        feeds = random_feeds(module.inputs, seed=seed, batch=1)
        step("running")
        if against == "none":
            ours, contest = module.benchmark(feeds, repeats=repeats), None
        else:
            contest = _compete(module, _opponent(model, shapes, threads), feeds, repeats)
            ours = contest.ours
    sides = {"graphopt": ours} | ({against: contest.theirs} if contest else {})
    if json:
        described = {side: _describe(timing) for side, timing in sides.items()}
        show_json({"model": str(model), "threads": threads, **described} | (contest.to_dict() if contest else {}))
    else:
        show(table(("", ">median ms", ">best ms", ">spread"), _rows(sides)))
        show(fields({"threads": threads} | (contest.verdict(against) if contest else {})))
    if contest and contest.difference.error > DEFAULT_TOLERANCE:
        raise typer.Exit(_DIFFERENT)


@dataclass(frozen=True)
class _Contest:
    """Two timings taken in turns, and how far the answers are apart."""

    ours: Timing
    theirs: Timing
    difference: Difference

    @property
    def ratio(self) -> float:
        """How many times their median is ours."""
        return self.theirs.median / self.ours.median

    def verdict(self, opponent: str) -> dict[str, object]:
        pace = f"{self.ratio:.2f} × as fast as {opponent}, by medians"
        return {"graphopt": pace, "answers": self.difference}

    def to_dict(self) -> dict[str, object]:
        worst = self.difference
        return {"ratio": self.ratio, "worst": {"output": worst.output, "error": worst.error, "reason": worst.reason}}


def _compete(module: CompiledModule, opponent: Session, feeds: Feeds, repeats: int) -> _Contest:
    from graphopt.numerics import differences
    from graphopt.runtime.benchmark import measure_alternating

    worst = differences(opponent.run(feeds), module.run(feeds))[0]
    ours, theirs = measure_alternating([lambda: module.run(feeds), lambda: opponent.run(feeds)], repeats=repeats)
    return _Contest(ours, theirs, worst)


def _opponent(model: Path, shapes: Shapes | None, threads: int) -> Session:
    """Load the model as it is into onnxruntime, to be optimized there."""
    from graphopt.backends.ort.reference import reference_session
    from graphopt.ir.load import load

    return reference_session(load(model, shapes=shapes), threads=threads, optimize=True)


def _describe(timing: Timing) -> dict[str, object]:
    return {
        "median_ms": timing.median,
        "best_ms": timing.best,
        "spread": timing.spread,
        "repeats": len(timing.samples),
    }


def _rows(sides: Mapping[str, Timing]) -> Iterator[tuple[str, str, str, str]]:
    for side, timing in sides.items():
        yield side, f"{timing.median:.3f}", f"{timing.best:.3f}", f"{timing.spread:.0%}"
