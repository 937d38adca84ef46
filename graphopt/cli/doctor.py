"""`graphopt doctor`: what of a quantized file a target runs in integers, why not the rest, and the file mended."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphopt.cli.completion import one_of
from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import Json, ModelPath
from graphopt.cli.output import check_file
from graphopt.cli.progress import progress
from graphopt.cli.render import table
from graphopt.cli.saving import DEFAULT_THRESHOLD, ExternalData, ExternalThreshold

if TYPE_CHECKING:
    from graphopt.quantization.doctor import Diagnosis, Finding

Patient = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="Who takes the file: x64 (onnxruntime on CPU) or tensorrt.",
        autocompletion=one_of("x64", "tensorrt"),
    ),
]
Fix = Annotated[bool, typer.Option("--fix", help="Write the same numbers in the form that runs in integers.")]
MendedFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Where the mended model goes.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="List the nodes that run in integers too.")]


def doctor_model(
    model: ModelPath,
    *,
    target: Patient = "x64",
    fix: Fix = False,
    output: MendedFile = None,
    all_nodes: All = False,
    json: Json = False,
    external_data: ExternalData = None,
    external_threshold: ExternalThreshold = DEFAULT_THRESHOLD,
) -> None:
    """Say node by node what of a quantized model a target will not run in int8, and why; mend it.

    Reads QDQ and QOperator files of any tool. The mended file has the scales, zero points and integers of the old one.

    Examples:
      graphopt doctor model.onnx
      graphopt doctor model.onnx --target tensorrt --json
      graphopt doctor model.onnx --fix -o fast.onnx

    """
    from graphopt.compiler.mend import mend
    from graphopt.ir.save import save
    from graphopt.quantization.doctor import diagnose

    if fix != (output is not None):
        raise typer.BadParameter("--fix and -o FILE go together: one mends, the other says where to")
    if output is None:
        _report(diagnose(model, target), model, json=json, all_nodes=all_nodes)
        return
    check_file(output)
    with progress("mending") as step:
        treatment = mend(model, target)
        step("saving")
        save(treatment.model, output, external_data=external_data, smallest_external=external_threshold)
    if json:
        show_json({"before": treatment.before.to_dict(), "after": treatment.after.to_dict(), "output": str(output)})
        return
    _list(treatment.after, all_nodes=all_nodes)
    mention(f"{output}: written for {target}; before:", *(f"  {line}" for line in treatment.before.summary()))
    mention("now:", *(f"  {line}" for line in treatment.after.summary()))


def _report(diagnosis: Diagnosis, model: Path, *, json: bool, all_nodes: bool) -> None:
    if json:
        show_json(diagnosis.to_dict())
        return
    _list(diagnosis, all_nodes=all_nodes)
    show(*diagnosis.summary())
    if diagnosis.is_mendable:
        fixed = model.with_name(f"{model.stem}.{diagnosis.target}.onnx")
        command = shlex.join(
            ["graphopt", "doctor", str(model), "--target", diagnosis.target, "--fix", "-o", str(fixed)]
        )
        mention("", f"mend it with: {command}")


def _list(diagnosis: Diagnosis, *, all_nodes: bool) -> None:
    rows = [_row(found) for found in diagnosis.findings if all_nodes or found.causes]
    if rows:
        show(table(("node", "runs", "because", "which means", "the mend"), rows), "")


def _row(found: Finding) -> tuple[str, str, str, str, str]:
    """Say the first cause alone: others are often what follows from it."""
    if not found.causes:
        return found.node, str(found.verdict), "", "", ""
    rule = found.causes[0]
    return found.node, str(found.verdict), rule.name, rule.why, rule.mend or "none with the same numbers"
