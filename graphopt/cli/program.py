"""What a program says of itself, as rows for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from graphopt.cli.summary import quantity

if TYPE_CHECKING:
    from graphopt.runtime.manifest import Manifest

_WIDTH = 100
"""Characters of a list that takes several lines."""


def program_rows(manifest: Manifest) -> dict[str, object]:
    """Say what a program does, and where."""
    from graphopt.runtime.module import describe

    native = [describe(variant.shapes) for variant in manifest.variants]
    batches = ["and batches that are sums of these"] if manifest.batched else []
    memory = ", ".join(quantity(variant.arena, "B") for variant in manifest.variants)
    executors = Counter(placement.executor for placement in manifest.report.placements)
    return {
        "target": manifest.target,
        "inputs": manifest.inputs,
        "outputs": manifest.outputs,
        "native for": [*native, *batches] or ("no shape",),
        **({"memory": f"{memory} a run, beside weights, inputs and outputs"} if memory else {}),
        "runs in": ", ".join(f"{executor}: {count} nodes" for executor, count in executors.most_common()),
        **({"notes": manifest.report.notes} if manifest.report.notes else {}),
    }


def origin_rows(manifest: Manifest) -> dict[str, object]:
    """Say what a program asks of a machine, and what it was made of and by."""
    said, machine = manifest.provenance, manifest.machine
    rows = {
        "made by": f"graphopt {manifest.graphopt_version}" + (f" with TVM {machine.tvm_version}" if machine else ""),
        "runs on": _where(manifest),
        "uses": textwrap.wrap(", ".join(machine.features), _WIDTH) if machine else [],
        "model": said.graph,
        "written by": f"{said.producer} {said.producer_version}".strip(),
        "sha256": said.sha256,
        "licence": said.licence.splitlines(),
    }
    return {name: value for name, value in rows.items() if value}


def _where(manifest: Manifest) -> str:
    """Say where a program runs, and how where that is not here."""
    from graphopt.runtime.manifest import GPU

    if manifest.is_freestanding:
        return f"another machine: {manifest.use}"
    if manifest.has(GPU):
        return f"any machine with a device for {manifest.target}"
    machine = manifest.machine
    return f"{machine.architecture} under {machine.system}" if machine else "any machine, in onnxruntime"
