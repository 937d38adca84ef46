"""`graphopt optimize` beside the commands of onnxslim and onnxsim: python -m tests.benchmarks.commands [NAME …].

Prints a Markdown table, one row a model: the median seconds of each command from a file to a file, start of the
interpreter included, and how much longer or shorter than ours the others take. The commands take turns, so that a
slower minute of the machine is slower for all, and each writes into an empty folder: tensors in a file of their own
are appended to one that is there. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import compileall
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from tests.benchmarks.names import chosen
from tests.benchmarks.peers import models

RUNS = 9
SCRIPTS = Path(sysconfig.get_path("scripts"))
COMMANDS = {
    "graphopt": ("graphopt", "optimize", "{model}", "-o", "{output}"),
    "onnxslim": ("onnxslim", "{model}", "{output}"),
    "onnxsim": ("onnxsim", "{model}", "{output}"),
}


def main() -> None:
    """Write the table as it is measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="models, as the table names them; all if none are given")
    names = chosen(parser.parse_args().names, models())
    compile_checkout()
    sys.stdout.write(
        f"| seconds | {' | '.join(COMMANDS)} | onnxslim ÷ graphopt | onnxsim ÷ graphopt |\n{'|---' * 6}|\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files(names, Path(folder)):
            ours, *theirs = measure(path)
            cells = [f"{seconds:.2f}" for seconds in (ours, *theirs)] + [f"{other / ours:.2f}" for other in theirs]
            sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")
            sys.stdout.flush()


def compile_checkout() -> None:
    """Leave bytecode beside our sources, as pip does for whatever it installs."""
    for package in ("graphopt", "passes"):
        compileall.compile_dir(package, quiet=1)


def files(names: Sequence[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield those of the models of the comparison of nodes, one after the other in a file."""
    path = folder / "model.onnx"
    for name in names:
        onnx.save(models()[name](), path)
        yield name, path


def measure(model: Path) -> list[float]:
    """Return the median of each command on one model."""
    seconds: list[list[float]] = [[] for _ in COMMANDS]
    for _ in range(RUNS):
        for taken, command in zip(seconds, COMMANDS.values(), strict=True):
            taken.append(run(command, model))
    return [statistics.median(taken) for taken in seconds]


def run(command: Sequence[str], model: Path) -> float:
    """Return the seconds that a command takes; one that fails raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        program, *arguments = [word.format(model=model, output=Path(folder) / "output.onnx") for word in command]
        start = time.perf_counter()
        subprocess.run([SCRIPTS / program, *arguments], check=True, capture_output=True)  # our own words
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
