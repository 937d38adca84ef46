"""What a machine that only runs programs installs, and waits for: PYTHON -I tests/runtime_only.py PROGRAM DATA.npz.

For an environment of graphopt-runtime alone, which `make runtime` builds. The program classifies the `images` of the
data, whose `labels` say how many of them it should get right; then the size of what is installed is printed, and the
time that loading takes in a new process, the least of several. Ends with 1 where an answer is wrong, where anything of
a compiler was imported, or where what is installed beside numpy takes more than it may.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import numpy as np

import graphopt

MOST_MEGABYTES = 60.0
ACCURACY = 0.95
STARTS = 10
COMPILER = {"onnx", "onnx_ir", "networkx", "onnxruntime", "passes", "rich", "sympy", "tvm", "typer"}
OF_THE_ENVIRONMENT = {"pip", "setuptools", "wheel"}
START = """
import sys, time
begin = time.perf_counter(), time.process_time()
import numpy
numpy_done = time.perf_counter(), time.process_time()
import graphopt
graphopt.load(sys.argv[1])
end = time.perf_counter(), time.process_time()
print(numpy_done[0] - begin[0], numpy_done[1] - begin[1], end[0] - begin[0], end[1] - begin[1])
"""


def main() -> int:
    """Print what was found; return the exit code."""
    program, data = sys.argv[1:]
    accuracy = accuracy_of(program, data)
    sys.stdout.write(f"accuracy: {accuracy:.1%}\n")
    compiler = COMPILER & {name.partition(".")[0] for name in sys.modules}
    sys.stdout.write(f"imported of a compiler: {', '.join(sorted(compiler)) or 'nothing'}\n")
    sizes = {found.name: megabytes(found) for found in distributions() if found.name not in OF_THE_ENVIRONMENT}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        sys.stdout.write(f"{name}: {size:.1f} MB\n")
    beyond = sum(size for name, size in sizes.items() if name != "numpy")
    sys.stdout.write(f"beyond numpy: {beyond:.1f} MB, of at most {MOST_MEGABYTES:g}\n")
    wall_numpy, cpu_numpy, wall, cpu = np.min([start(program) for _ in range(STARTS)], axis=0)
    sys.stdout.write(f"import and load: {wall:.3f} s, {cpu:.3f} s of the processor; ")
    sys.stdout.write(f"of which numpy {wall_numpy:.3f} s and {cpu_numpy:.3f} s\n")
    return int(accuracy < ACCURACY or bool(compiler) or beyond > MOST_MEGABYTES)


def accuracy_of(program: str, data: str) -> float:
    """Return the share of images that a program classifies as they are labelled."""
    given = np.load(data)
    answers = graphopt.load(program)(given["images"].astype(np.float32))["logits"].argmax(1)
    return float(np.mean(answers == given["labels"]))


def megabytes(found: Distribution) -> float:
    """Return the size of what a distribution installed."""
    paths = (Path(str(file.locate())) for file in found.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def start(program: str) -> list[float]:
    """Load a program in a new process; return the seconds that numpy took, and all, each on two clocks."""
    done = subprocess.run([sys.executable, "-I", "-c", START, program], capture_output=True, text=True, check=True)
    return [float(seconds) for seconds in done.stdout.split()]


if __name__ == "__main__":
    sys.exit(main())
