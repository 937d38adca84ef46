"""All images through all trained networks of the shared folder: python -m tests.benchmarks.shared_models [NAME …].

Prints one Markdown row a model: nodes before and after the default preset, who runs them, how far the answers
are from onnxruntime's with optimizations off, whether any image is classified otherwise, and the accuracy.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

import graphopt
from graphopt.targets import PRECISIONS
from tests.benchmarks.names import chosen
from tests.shared_models import SHARED_MODELS, Agreement, SharedModel, compare

COLUMNS = "model", "nodes", "by TVM", "by onnxruntime", "largest difference", "images", "relabelled", "accuracy"


def main() -> None:
    """Write the table, row by row as it is measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--precision", choices=PRECISIONS)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    for line in table(arguments.names, arguments.precision):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def table(names: list[str], precision: str | None) -> Iterator[str]:
    """Yield the lines of the table, for all models or the named ones."""
    models = {model.name: model for model in SHARED_MODELS if model.path.exists()}
    wanted = chosen(names, models)
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for model in (models[name] for name in wanted):
        module = model.compile(precision)
        yield row(model, module, compare(model, module))


def row(model: SharedModel, module: graphopt.CompiledModule, agreement: Agreement) -> str:
    """Format one row of the table."""
    before, after = (module.report.optimization[moment]["nodes"] for moment in ("before", "after"))
    placements = Counter(placement.executor for placement in module.report.placements)
    cells = (
        model.name,
        f"{before} → {after}",
        placements["tvm"],
        f"{placements['onnxruntime']}{_fallbacks(module)}",
        f"{agreement.error:.1e}",
        agreement.images,
        agreement.relabelled if agreement.labelled else "–",
        f"{agreement.correct / agreement.labelled:.2%}" if agreement.labelled else "–",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _fallbacks(module: graphopt.CompiledModule) -> str:
    """Name the operators that fell back, with the reasons, and what else the report notes."""
    reasons = Counter(
        f"{placement.node.split()[0]}: {placement.reason}"
        for placement in module.report.placements
        if placement.executor != "tvm"
    )
    counted = (f"{count} × {reason}" for reason, count in reasons.items())
    return "".join(f"<br>{line}" for line in (*counted, *module.report.notes))


if __name__ == "__main__":
    main()
