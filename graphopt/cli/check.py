"""`graphopt check`: do two models give the same answers?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.console import mention, show_json
from graphopt.cli.options import Data, InputShapes, Json, Tolerance, shapes_of
from graphopt.cli.progress import Announce, progress

if TYPE_CHECKING:
    from graphopt.backends.ort.session import Session
    from graphopt.ir.shapes import ShapeSpec
    from graphopt.numerics import Difference
    from graphopt.runtime.module import CompiledModule
    from graphopt.tensors import Feeds, TensorSpec

Reference = Annotated[
    Path, typer.Argument(metavar="A", help="The reference: an ONNX file or a program.", show_default=False)
]
Candidate = Annotated[
    Path, typer.Argument(metavar="B", help="What is held against it: an ONNX file or a program.", show_default=False)
]
Seeds = Annotated[int, typer.Option("--seeds", min=1, metavar="N", help="How many random inputs to try.")]
_DIFFERENT = 1


def check_models(
    reference: Reference,
    candidate: Candidate,
    *,
    tolerance: Tolerance = 1e-4,
    seeds: Seeds = 3,
    data: Data = None,
    input_shape: InputShapes = None,
    json: Json = False,
) -> None:
    """Run two models on the same inputs and compare: exit code 0 if the answers are equal, 1 if not.

    ONNX files run in onnxruntime with every optimization off; what `graphopt compile` wrote runs as the
    program that it is.

    Examples:
      graphopt check model.onnx small.onnx
      graphopt check model.onnx program --data feeds.npz
      graphopt check model.onnx small.onnx --tolerance 1e-3 --seeds 10 --input-shape x:1,3,224,224

    """
    from graphopt.cli.feeds import random_feeds, read_feeds
    from graphopt.runtime.forms import is_program

    shapes = shapes_of(input_shape)
    given = [read_feeds([str(data)])] if data else None
    with progress("comparing") as step:
        one, other = _open(reference, shapes), _open(candidate, shapes)
        specs = _common_inputs(one.inputs, other.inputs)
        step("running")
        # A program is native code for batch 1 where the model leaves the batch free, and onnxruntime otherwise.
        batch = 1 if is_program(reference) or is_program(candidate) else None
        trials = given or (random_feeds(specs, seed=seed, batch=batch) for seed in range(seeds))
        worst = _worst(one, other, specs, _announced(trials, step, len(given or range(seeds))))
    equal = worst.error <= tolerance
    tried = str(data) if data else f"{seeds} random inputs"
    if json:
        found = {"output": worst.output, "error": worst.error, "reason": worst.reason}
        show_json({"equal": equal, "worst": found, "tolerance": tolerance, "inputs": tried})
    else:
        mention(f"{'equal' if equal else 'different'}: {worst} ({tried}, tolerance {tolerance:g})")
    if not equal:
        raise typer.Exit(_DIFFERENT)


def _announced(trials: Iterable[Feeds], step: Announce, total: int) -> Iterator[Feeds]:
    for done, feeds in enumerate(trials):
        step("running", done, total)
        yield feeds


def _open(path: Path, shapes: Mapping[str, ShapeSpec] | None) -> Session | CompiledModule:
    from graphopt.runtime.forms import is_program

    if is_program(path):
        from graphopt.runtime.module import load as load_program

        return load_program(path)
    from graphopt.backends.ort.reference import reference_session
    from graphopt.ir.interface import check_interface
    from graphopt.ir.load import load

    model = load(path, shapes=shapes)
    check_interface(model)
    return reference_session(model)


def _common_inputs(one: Sequence[TensorSpec], other: Sequence[TensorSpec]) -> list[TensorSpec]:
    """Return inputs that both models take: where one side alone fixes a dimension, it is fixed."""
    from graphopt.errors import CalibrationError
    from graphopt.tensors import TensorSpec

    others = {spec.name: spec for spec in other}
    if {spec.name for spec in one} != set(others):
        raise CalibrationError(f"the models cannot be compared: one takes {_names(one)}, the other {_names(other)}")
    merged = []
    for spec in one:
        twin = others[spec.name]
        if spec.dtype != twin.dtype or (spec.shape and twin.shape and len(spec.shape) != len(twin.shape)):
            raise CalibrationError(f"the models cannot be compared: one takes {spec}, the other {twin}")
        if spec.shape is None or twin.shape is None:
            merged.append(spec if twin.shape is None else twin)
            continue
        dims = zip(spec.shape, twin.shape, strict=True)
        shape = tuple(second if isinstance(second, int) else first for first, second in dims)
        merged.append(TensorSpec(spec.name, spec.dtype, shape))
    return merged


def _worst(
    one: Session | CompiledModule, other: Session | CompiledModule, specs: Sequence[TensorSpec], trials: Iterable[Feeds]
) -> Difference:
    """Return the worst output of the worst trial; raises RunError where feeds do not fit."""
    from graphopt.numerics import differences
    from graphopt.runtime.feeds import check

    checked = (check(specs, feeds) for feeds in trials)
    found = [differences(one.run(feeds), other.run(feeds))[0] for feeds in checked]
    return max(found, key=lambda difference: difference.error)


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs))
