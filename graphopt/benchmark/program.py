"""The side of graphopt: a compiled program, loaded as it would be where it is deployed."""

from __future__ import annotations

from pathlib import Path

from graphopt import __version__
from graphopt.benchmark.runtimes import Side
from graphopt.runtime.module import CompiledModule


def load(path: Path, threads: int) -> Side:  # noqa: ARG001  # the signature of all loaders
    """Load a program's directory; its threads were fixed when it was compiled. Raises ModelError, TargetError."""
    module = CompiledModule(path)
    return Side(module.run, module.threads, __version__)
