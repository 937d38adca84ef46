"""`graphopt why` and `graphopt why-not`: what happened to one node of a model, and what did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.completion import complete_pass
from graphopt.cli.console import show, show_json
from graphopt.cli.options import (
    InputShapes,
    Json,
    ModelPath,
    PipelineText,
    PresetName,
    pipeline_text,
    shapes_of,
)
from graphopt.cli.progress import progress
from graphopt.cli.render import fields

if TYPE_CHECKING:
    from graphopt.compiler.why import Why, WhyNot

NodeName = Annotated[
    str, typer.Argument(metavar="NODE", help="A node's name or one of its outputs.", show_default=False)
]
PassText = Annotated[
    str,
    typer.Argument(
        metavar="PASS", help="A pass, with options if need be.", show_default=False, autocompletion=complete_pass
    ),
]


def why_node(
    model: ModelPath,
    node: NodeName,
    *,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    input_shape: InputShapes = None,
    json: Json = False,
) -> None:
    """Tell which rewrites made a node and from what, or what became of it.

    Examples:
      graphopt why model.onnx conv1
      graphopt why model.onnx conv1 --preset O1 --json
      graphopt why optimized.onnx conv1 --pipeline ''

    """
    from graphopt.compiler.why import why

    text, shapes = pipeline_text(pipeline, preset), shapes_of(input_shape)
    with progress("optimizing"):
        answer = why(model, node, text, shapes=shapes)
    if json:
        show_json({"model": str(model), "pipeline": text, **answer.to_dict()})
    else:
        _tell(answer)


def why_not_node(
    model: ModelPath,
    node: NodeName,
    pass_text: PassText,
    *,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    input_shape: InputShapes = None,
    json: Json = False,
) -> None:
    """Tell why a pass left a node alone. A pass that the pipeline lacks runs at its end.

    Examples:
      graphopt why-not model.onnx bn1 fold-batch-norm
      graphopt why-not model.onnx bn1 fold-batch-norm --pipeline 'fold-constants,fold-batch-norm' --json

    """
    from graphopt.compiler.why import why_not

    text, shapes = pipeline_text(pipeline, preset), shapes_of(input_shape)
    with progress("optimizing"):
        answer = why_not(model, node, pass_text, text, shapes=shapes)
    if json:
        show_json({"model": str(model), "pipeline": text, **answer.to_dict()})
    else:
        show(*_why_not_lines(answer))


def _tell(answer: Why) -> None:
    from graphopt.compiler.why import Fate

    sentences = {
        Fate.KEPT: "no rewrite made it: it is there as it was",
        Fate.MADE: "made by rewrites",
        Fate.GONE: "gone",
    }
    show(f"{answer.node}: {sentences[answer.fate]}")
    rows = {"became": answer.became}
    if answer.fate is Fate.MADE:
        more = [f"and {answer.past.more} more"] if answer.past.more else []
        rows |= {"from": answer.past.sources, "by": (*map(str, answer.past.rewrites), *more)}
    rows["remarks"] = tuple(map(str, answer.remarks))
    show(fields({name: lines for name, lines in rows.items() if lines}))


def _why_not_lines(answer: WhyNot) -> list[str]:
    lines = [str(remark) for remark in (*answer.applied, *answer.missed)]
    if answer.added:
        lines.append(f"(the pipeline has no {answer.pass_name}; it ran at the end)")
    if not (answer.applied or answer.missed):
        begins = f"; its rules begin at {', '.join(answer.begins_at)}" if answer.begins_at else ""
        lines.insert(
            0, f"{answer.pass_name} has nothing to say of {answer.node}: nothing that it looks for is there{begins}"
        )
    return lines
