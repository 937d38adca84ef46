"""`graphopt distill`: a model that learns to answer as another does."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.calibration import CalibrationLimit, PreprocessText
from graphopt.cli.console import mention, say, show_json
from graphopt.cli.options import Json, PipelineText, PresetName, Threads, pipeline_text
from graphopt.cli.output import check_file, check_picture
from graphopt.cli.progress import progress
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold, OutputFile

if TYPE_CHECKING:
    from graphopt.compiler.distill import DistillationReport

TeacherPath = Annotated[
    Path, typer.Argument(metavar="TEACHER", help="The ONNX file whose answers are right.", show_default=False)
]
StudentPath = Annotated[
    Path, typer.Argument(metavar="STUDENT", help="The ONNX file that learns them.", show_default=False)
]
DataPath = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="PATH",
        help="What to learn from: a .npz, a .npy, or a folder of pictures.",
        show_default=False,
    ),
]
RecipeText = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="TEXT",
        help="How, as in distill{epochs=30 rate=0.02 augment=flip,crop:4}; what is left out suits some hundreds of "
        "samples or more.",
    ),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="The number of the class of each sample, a .npy, or `labels` in a .npz; learnt too.",
        show_default=False,
    ),
]
CheckpointPath = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Keep the training there, at the end of each epoch and by Ctrl-C.",
        show_default=False,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from --checkpoint.")]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Train in N processes, each on a part of every batch; torchrun starts them, on one machine or on several.",
    ),
]
CurvesPlot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE.png|.svg", help="Draw the curves of the training.", show_default=False),
]


def distill_model(
    teacher: TeacherPath,
    student: StudentPath,
    *,
    output: OutputFile,
    data: DataPath,
    recipe: RecipeText = "distill",
    labels: LabelsFile = None,
    preprocess: PreprocessText = None,
    limit: CalibrationLimit = None,
    pipeline: PipelineText = None,
    preset: PresetName = None,
    checkpoint: CheckpointPath = None,
    resume: Resume = False,
    plot: CurvesPlot = None,
    threads: Threads = None,
    workers: Workers = 1,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
    json: Json = False,
) -> None:
    """Train a model to answer as another does, on data without labels; needs PyTorch, the extra `distill`.

    Examples:
      graphopt distill model.onnx pruned.onnx -o better.onnx --data photographs
      graphopt distill model.onnx int8.onnx -o better.onnx --data samples.npz --recipe 'distill{epochs=10 rate=0.002}'
      graphopt distill model.onnx small.onnx -o better.onnx --data samples.npz --labels labels.npy --plot curves.svg
      graphopt distill model.onnx pruned.onnx -o better.onnx --data samples.npz --checkpoint training.pt --resume
      torchrun --nproc-per-node 2 -m graphopt distill model.onnx small.onnx -o better.onnx --data images.npz \
--workers 2

    """
    from graphopt.calibration.labels import read_labels
    from graphopt.compiler.distill import distill
    from graphopt.distillation.checkpoint_file import CheckpointFile
    from graphopt.ir.save import save

    text = pipeline_text(pipeline, preset)
    _check_places(output, checkpoint, resume, plot)
    try:
        with progress("distilling") as step:
            model, report = distill(
                teacher,
                student,
                data,
                recipe,
                labels=None if labels is None else read_labels(labels, None),
                preprocessing=preprocess,
                limit=limit,
                pipeline=text,
                checkpoint=None if checkpoint is None else CheckpointFile(checkpoint, resume),
                threads=threads or 0,
                workers=workers,
                on_progress=step,
            )
            step("saving")
            save(model, output, external_data=external_data, smallest_external=external_threshold)
    except KeyboardInterrupt:
        if checkpoint is not None and checkpoint.exists():
            say(f"{checkpoint}: written; go on with: {_resuming_command()}")
        raise
    if plot is not None:
        from graphopt.distillation.plot import draw

        draw(report.history, plot)
    if json:
        show_json({"teacher": str(teacher), "student": str(student), "output": str(output), **report.to_dict()})
        return
    mention(f"{output}: written, {closing_line(report)}")


def _check_places(output: Path, checkpoint: Path | None, resume: bool, plot: Path | None) -> None:
    """Refuse early what cannot be written or gone on from; raises BadParameter, MeasurementError or OutputError."""
    if resume and checkpoint is None:
        raise typer.BadParameter("--resume goes on from a file; give --checkpoint")
    for path in filter(None, (output, checkpoint)):
        check_file(path)
    if plot is not None:
        check_picture(plot)


def _resuming_command() -> str:
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    return shlex.join(["graphopt", *arguments, "--resume"])


def closing_line(report: DistillationReport) -> str:
    """Say what a training gained."""
    history, judged = report.history, 0 if report.after is None else report.after.samples
    parts = [
        f"epoch {history.best} of {history.epochs[-1].number} on {history.samples} samples",
        f"{report.before} → {report.after} on {judged} {'held out' if history.held_out else 'of them'}",
        f"{report.seconds:.1f} s",
    ]
    return ", ".join(parts)
