"""`graphopt bisect`: which rewrite changes the answers of a model?"""

from __future__ import annotations

import typer

from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import (
    Data,
    InputShapes,
    Json,
    ModelPath,
    PipelineText,
    PresetName,
    Seed,
    Tolerance,
    pipeline_text,
    shapes_of,
)
from graphopt.cli.progress import progress

_DIFFERENT = 1


def bisect_model(
    model: ModelPath,
    *,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    input_shape: InputShapes = None,
    tolerance: Tolerance = 1e-4,
    data: Data = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Find the rewrite after which a model answers differently, and the pipeline that skips it.

    Answers are compared with those of the model as it is, in onnxruntime with every optimization off. The
    exit code is 0 if the whole pipeline keeps them, 1 if a rewrite does not.

    Examples:
      graphopt bisect model.onnx
      graphopt bisect model.onnx --preset O1 --data feeds.npz
      graphopt bisect model.onnx --pipeline 'fold-batch-norm,remove-dead-nodes' --input-shape x:1,3,224,224

    """
    from graphopt.cli.feeds import read_feeds
    from graphopt.compiler.bisect import bisect
    from graphopt.pipeline.numeric_check import NumericCheck

    text, shapes = pipeline_text(pipeline, preset), shapes_of(input_shape)
    check = NumericCheck(read_feeds([str(data)]) if data else None, seed=seed, tolerance=tolerance)
    with progress("bisecting") as step:
        found = bisect(model, text, check=check, shapes=shapes, on_step=step)
    if json:
        show_json({"model": str(model), **found.to_dict()})
    elif found.culprits:
        show(*(f"different: {culprit}" for culprit in found.culprits))
        show("", "the same answers without it:", f"  --pipeline '{found.pipeline}'")
    else:
        mention(f"equal: no step of {text} changes the answers")
    if found.culprits:
        raise typer.Exit(_DIFFERENT)
