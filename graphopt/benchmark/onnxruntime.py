"""The side of onnxruntime, with all its optimizations."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from graphopt.backends.ort.session import Session
from graphopt.benchmark.runtimes import Side


def load(path: Path, threads: int) -> Side:
    """Load an ONNX file; raises ModelError."""
    session = Session(path, threads=threads)
    return Side(session.run, session.threads, version("onnxruntime"))
