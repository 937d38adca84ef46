"""What is needed to replay a failing pass: the model before it, and a pipeline of it alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx_ir as ir

from graphopt.errors import GraphoptError, PassFailureError
from graphopt.ir.save import save
from graphopt.pipeline.base import Pass, run_counted
from graphopt.pipeline.context import Context


def failure(
    reason: str,
    *,
    failed: Pass,
    original: ir.Model,
    executed: Sequence[Pass],
    contexts: Callable[[Pass], Context],
    folder: Path | None,
) -> PassFailureError:
    """Write the reproducer and return the error that names it.

    Passes are deterministic, so the model before the failing one is made again from the original: that
    costs time only when something fails, where keeping copies would cost memory always.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="graphopt-reproducer-"))
    path = folder / "model.onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for step in executed:
            run_counted(step, original, contexts(step))
        save(original, path)
    except (GraphoptError, OSError) as error:
        return PassFailureError(
            f"{reason}; this is a bug in graphopt (its reproducer could not be written: {error})",
            pass_text=str(failed),
        )
    command = f"graphopt optimize {path} -o /dev/null --pipeline '{failed}' --check numeric"
    return PassFailureError(
        f"{reason}; this is a bug in graphopt, replay it with: {command}",
        pass_text=str(failed),
        reproducer=path,
    )
