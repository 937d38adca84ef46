"""The known topologies against onnxruntime, batch 1, equal threads: python -m tests.benchmarks.latency [NAME …].

Prints one Markdown row a model: nodes before and after the default preset, the medians of both sides taken in
turns, and the largest difference of the answers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

import numpy as np

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.numerics import differences
from graphopt.runtime.benchmark import measure_alternating
from models import TOPOLOGIES

COLUMNS = "model", "nodes", "graphopt, ms", "onnxruntime, ms", "ratio", "largest difference"


def main(names: list[str]) -> None:
    """Write the table, row by row as it is measured."""
    for line in table(names or list(TOPOLOGIES)):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def table(names: list[str]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for name in names:
        yield row(name)


def row(name: str) -> str:
    """Compile, compare and time one topology."""
    proto = TOPOLOGIES[name](batch=1)
    module, opponent = graphopt.compile(proto, cache=False), Session(proto.SerializeToString())
    (spec,) = module.inputs
    feeds = {spec.name: np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)}
    worst = differences(opponent.run(feeds), module.run(feeds))[0]
    ours, theirs = measure_alternating([partial(module.run, feeds), partial(opponent.run, feeds)])
    before, after = (module.report.optimization[moment]["nodes"] for moment in ("before", "after"))
    cells = (
        name,
        f"{before} → {after}",
        f"{ours.median:.2f}",
        f"{theirs.median:.2f}",
        f"{theirs.median / ours.median:.2f}",
        f"{worst.error:.1e}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
