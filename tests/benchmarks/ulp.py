"""The error of each elementary function on every float32: python -m tests.benchmarks.ulp [NAME …].

Prints one Markdown row a function and processor: the largest error in units in the last place, and where it is. The
processor without fused multiply-add rounds products too. All 2³² numbers take five to fifteen minutes a row.
"""

from __future__ import annotations

import sys

import numpy as np

from graphopt.targets import Target, parse_target
from tests.benchmarks.names import chosen
from tests.vector_functions import BOUNDS, exact, library, run, ulps

_CHUNK = 1 << 17


def main(names: list[str]) -> None:
    """Write the table, row by row as it is measured."""
    wanted = chosen(names, BOUNDS)
    sys.stdout.write("| function | processor | ULP | at |\n|---|---|---|---|\n")
    for processor in ("haswell", "x86-64"):
        for name in wanted:
            error, place = worst(name, parse_target(f"cpu{{mcpu={processor} cores=1}}"))
            sys.stdout.write(f"| {name} | {processor} | {error:.3f} | {place!r} |\n")
            sys.stdout.flush()


def worst(name: str, target: Target) -> tuple[float, float]:
    """Return the largest error of a function in units in the last place, and the number at which it occurs."""
    compiled = library(name, _CHUNK, target)
    found = 0.0, 0.0
    for start in range(0, 1 << 32, _CHUNK):
        x = np.arange(start, start + _CHUNK, dtype=np.uint32).view(np.float32)
        error = ulps(run(compiled, x), exact(name, x))
        place = int(error.argmax())
        found = max(found, (float(error[place]), float(x[place])))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
