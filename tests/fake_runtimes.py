"""Runtimes that misbehave, for tests of `graphopt bench`: loaders that a worker finds by name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

from graphopt.backends.ort.session import Session
from graphopt.benchmark.runtimes import Runtime, Side
from graphopt.tensors import Feeds


def load_wrong(path: Path, threads: int) -> Side:
    session = Session(path, threads=threads)

    def run(feeds: Feeds) -> Feeds:
        return {name: np.add(array, 1, dtype=array.dtype) for name, array in session.run(feeds).items()}

    return Side(run, threads, "1.0")


def load_greedy(path: Path, threads: int) -> Side:
    return Side(Session(path, threads=threads).run, threads + 1, "1.0")


def load_broken(path: Path, threads: int) -> Side:
    raise LookupError("no such operator\nand more")


def load_mortal(path: Path, threads: int) -> Side:
    def run(feeds: Feeds) -> Feeds:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    return Side(run, threads, "1.0")


FAKES = {
    name: Runtime(f"tests.fake_runtimes:load_{name}", "onnxruntime") for name in ("wrong", "greedy", "broken", "mortal")
}
